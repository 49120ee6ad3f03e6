"""Decisions as ROS messages."""

from __future__ import annotations

from typing import Any

from builtin_interfaces.msg import Time
from touchline_msgs.msg import Event as EventMsg
from touchline_msgs.msg import LabelInfo
from touchline_msgs.msg import Second as SecondMsg
from touchline_msgs.msg import Vote as VoteMsg

from edge.bundle import Bundle
from edge.clip import UNKNOWN, Event, Second

from .judge import NANOSECONDS

TYPES = {"new": EventMsg.TYPE_NEW, "update": EventMsg.TYPE_UPDATE, "end": EventMsg.TYPE_END}


def time_at(origin_ns: int, media_seconds: float) -> Time:
    """Give the stamp of a media time."""
    sec, nanosec = divmod(origin_ns + round(media_seconds * NANOSECONDS), NANOSECONDS)
    return Time(sec=sec, nanosec=nanosec)


def second_message(second: Second, origin_ns: int, bundle: Bundle, **more: Any) -> SecondMsg:  # noqa: ANN401 - fields
    """Say a decision; `more` are fields that only the node knows: header, seq, source, mode."""
    message = SecondMsg(
        label=second.label,
        class_index=second.class_index,
        score=second.score,
        unknown=second.label == UNKNOWN,
        probabilities=second.probabilities,
        votes=_votes(second, bundle),
        winner=second.winner,
        row=second.row or "",
        rule=second.rule,
        table_version=bundle.fusion.version,
        align_unc_ms=float("nan"),
        latency_ms=second.latency_ms,
        faults=second.faults,
        **more,
    )
    message.header.stamp = time_at(origin_ns, second.start)
    return message


def event_message(event: Event, origin_ns: int, bundle: Bundle, **more: Any) -> EventMsg:  # noqa: ANN401 - fields
    """Say a step of an event; `more` are the fields of its latest second that only the node knows."""
    last = second_message(event.last, origin_ns, bundle, **more)
    message = EventMsg(
        header=last.header,
        id=event.id,
        type=TYPES[event.type],
        source=last.source,
        label=event.label,
        class_index=event.class_index,
        score=event.score,
        seconds=event.seconds,
        start=time_at(origin_ns, event.start),
        ended=event.end is not None,
        last=last,
        model_sha256=bundle.sha256,
    )
    if event.end is not None:
        message.end = time_at(origin_ns, event.end)
    return message


def label_info(bundle: Bundle) -> LabelInfo:
    """Say what the numbers mean."""
    manifest = bundle.manifest
    return LabelInfo(
        labels=manifest.labels,
        modalities=list(manifest.models),
        bundle=f"{manifest.name} {manifest.version}",
        model_sha256=bundle.sha256,
        table_version=bundle.fusion.version,
        unknown_below=manifest.thresholds.unknown,
    )


def _votes(second: Second, bundle: Bundle) -> list[VoteMsg]:
    cast = {vote.modality: vote for vote in second.votes}
    return [
        VoteMsg(
            modality=name,
            label=cast[name].label,
            score=cast[name].score,
            frames=cast[name].frames,
            valid=True,
            probabilities=cast[name].probabilities,
        )
        if name in cast
        else VoteMsg(modality=name)
        for name in bundle.manifest.models
    ]
