"""What nodes say on their topics, as the MQTT contract says it; no ROS is needed to read this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

import msgspec

from edge import __version__, contract, messages
from edge.clip import Event, Second, Vote
from edge.events import SegmenterConfig
from edge.messages import NANOSECONDS, EventMessage, Info, MessageError, Stamp, Tick, topic_id, utc

EVENT_TYPES: Mapping[int, Literal["new", "update", "end"]] = {0: "new", 1: "update", 2: "end"}
INACTIVE, WAITING, ARMED, RAMPING, STOPPED, SHADOW = range(6)
"""States of touchline_msgs/PolicyState."""
POLICY_STATES: Mapping[int, contract.PolicyState] = {
    INACTIVE: contract.PolicyState(state="inactive", reason="not activated"),
    # It arms itself as soon as its inputs are healthy, so whoever stands beside the robot should expect it to move.
    WAITING: contract.PolicyState(state="active", reason="waits for healthy inputs"),
    ARMED: contract.PolicyState(state="active", reason=""),
    RAMPING: contract.PolicyState(state="active", reason="slows down to zero"),
    STOPPED: contract.PolicyState(state="stopped", reason="stopped until it is reset beside the robot"),
    SHADOW: contract.PolicyState(state="shadow", reason="computes and compares, moves nothing"),
}
LEVELS: Mapping[int, contract.Level] = {0: "ok", 1: "warn", 2: "error", 3: "stale"}
"""Levels of diagnostic_msgs/DiagnosticStatus."""
OWN_COMPONENTS = ("outbox", "source", "commands")
"""Components of a node's health that the publisher reports itself."""


def nanoseconds(time: Any) -> int:  # noqa: ANN401 - a message's type is known to ROS alone
    """Give a builtin_interfaces/Time as nanoseconds of its clock."""
    return int(time.sec) * NANOSECONDS + int(time.nanosec)


def tick(message: Any, stamp: Stamp, seq: int) -> Tick:  # noqa: ANN401
    """Say a touchline_msgs/Second with its own stamp as its time; MessageError names what it cannot be said with."""
    said = messages.tick(_second(message, stamp), replace(stamp, table=message.table_version), seq)
    start_ns = nanoseconds(message.header.stamp)
    said = replace(said, start=utc(start_ns), start_ns=start_ns, replay=message.mode == "replay")
    return _checked(said, _TICKS, "tick/1")


def event_message(message: Any, stamp: Stamp, seq: int) -> EventMessage:  # noqa: ANN401
    """Say a touchline_msgs/Event; MessageError names what it cannot be said with.

    The bundle that `stamp` names is left out where the event was decided by another one.
    """
    kind, ended = EVENT_TYPES.get(message.type), bool(message.ended)
    if kind is None or (kind == "end") != ended:
        msg = f"type: is {message.type} and ended {ended}; it must be 0, 1, or 2 with an end"
        raise MessageError(msg)
    if not message.id:
        msg = "id: is empty"
        raise MessageError(msg)
    start_ns, end_ns = nanoseconds(message.start), nanoseconds(message.end)
    known = stamp.model if message.model_sha256 == stamp.sha256 else ""
    event = Event(
        type=kind,
        id=message.id,
        label=message.label,
        class_index=message.class_index,
        start=_media_seconds(start_ns, stamp),
        end=_media_seconds(end_ns, stamp) if ended else None,
        score=message.score,
        seconds=message.seconds,
        last=_second(message.last, stamp),
    )
    by = replace(stamp, table=message.last.table_version, sha256=message.model_sha256, model=known)
    said = replace(
        messages.event_message(event, by, seq),
        start=utc(start_ns),
        end=utc(end_ns) if ended else None,
        start_ns=start_ns,
        replay=message.last.mode == "replay",
        replay_of=stamp.source if message.last.mode == "replay" else None,
    )
    return _checked(said, _EVENTS, "event/1")


def described(stamp: Stamp, label_info: Any) -> Stamp:  # noqa: ANN401
    """Complete a stamp by a touchline_msgs/LabelInfo, whose `name version` is `name-version` in the contract."""
    model = "-".join(label_info.bundle.rsplit(" ", 1))
    return replace(stamp, model=model, sha256=label_info.model_sha256, table=label_info.table_version)


def birth(stamp: Stamp, *, labels: tuple[str, ...] = (), rule: str = "", events: SegmenterConfig) -> Info:
    """Say what a gateway is, without `labels` and model while no detector has been heard."""
    return Info(
        node=stamp.node,
        boot=stamp.boot,
        version=__version__,
        started=utc(stamp.epoch_ns),
        sources=(stamp.source,),
        classes=labels,
        model=messages.Model(stamp.model, stamp.sha256, stamp.quant),
        models={},
        rule=rule,
        table=stamp.table,
        events=events,
    )


def policy_state(message: Any) -> contract.PolicyState:  # noqa: ANN401
    """Say a touchline_msgs/PolicyState; MessageError names a state that is none."""
    known = POLICY_STATES.get(message.state)
    if known is None:
        msg = f"state: is {message.state}; it must be 0 to {len(POLICY_STATES) - 1}"
        raise MessageError(msg)
    return replace(known, reason=message.reason or known.reason)


def health(status: Any) -> tuple[str, contract.Level, str]:  # noqa: ANN401
    """Name component, level and message of a diagnostic_msgs/DiagnosticStatus, whose level is a byte."""
    component = topic_id(status.name)
    level = status.level if isinstance(status.level, int) else status.level[0]
    return f"ros-{component}" if component in OWN_COMPONENTS else component, LEVELS.get(level, "error"), status.message


def _second(message: Any, stamp: Stamp) -> Second:  # noqa: ANN401
    return Second(
        start=_media_seconds(nanoseconds(message.header.stamp), stamp),
        label=message.label,
        class_index=message.class_index,
        score=message.score,
        probabilities=tuple(message.probabilities),
        votes=tuple(_vote(vote) for vote in message.votes if vote.valid),
        winner=message.winner,
        row=message.row or None,
        rule=message.rule,
        latency_ms=message.latency_ms,
        faults=tuple(message.faults),
    )


def _vote(vote: Any) -> Vote:  # noqa: ANN401
    return Vote(vote.modality, vote.label, vote.score, tuple(vote.probabilities), vote.frames)


def _media_seconds(at_ns: int, stamp: Stamp) -> float:
    return (at_ns - stamp.epoch_ns) / NANOSECONDS


def _checked(said: Any, reader: msgspec.json.Decoder[Any], schema: str) -> Any:  # noqa: ANN401
    """Give back what its own reader takes: a NaN, which JSON does not know, or a modality that is none stops here."""
    try:
        reader.decode(msgspec.json.encode(said))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        what, _, where = str(error).partition(" - at `$.")
        msg = f"{where.rstrip('`') or schema}: {what[:1].lower()}{what[1:]}"
        raise MessageError(msg) from None
    return said


_TICKS = msgspec.json.Decoder(Tick)
_EVENTS = msgspec.json.Decoder(EventMessage)
