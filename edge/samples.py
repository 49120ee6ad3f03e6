"""One message of every topic, as an example: a badminton match in the hall that node `truck1` watches."""

from __future__ import annotations

from dataclasses import replace

from .clip import Modality
from .contract import (
    Accounting,
    Acknowledgement,
    Digest,
    Feedback,
    Gap,
    Health,
    ModelDesired,
    ModelReported,
    PolicyState,
    RpcReply,
    RpcRequest,
    Stats,
)
from .discovery import BIRTH, discovery
from .events import SegmenterConfig
from .messages import EventMessage, Fusion, Info, Media, Model, Tick, VoteSummary

NODE, SOURCE, BOOT, STREAM = "truck1", "cam2", "514a4ff4", "8c1d02be"
CLASSES = ("badminton", "golf", "tennis")
BUNDLE = "sports3-1.4.0"
SHA256 = "9c1e6b7f20d3a4518e6f90b2c7d4e1a35f8b0c9d2e7a6413f5b8c0d9e2a7f641"
MODEL = Model(BUNDLE, SHA256, "int8")
VOTES: dict[Modality, VoteSummary] = {
    "rgb": VoteSummary("tennis", 0.71, 5, (0.2, 0.09, 0.71)),
    "flow": VoteSummary("tennis", 0.38, 4, (0.33, 0.29, 0.38)),
    "audio": VoteSummary("badminton", 0.83, 1, (0.83, 0.05, 0.12)),
}
FUSION = Fusion("class_model_table", "t-0007", "audio", "badminton", 1, VOTES)
MEDIA = Media(f"/api/events/{BOOT}-000001/clip.mp4", f"/api/events/{BOOT}-000001/thumb.jpg", 5.0, 2.0)

TICK = Tick(
    node=NODE, source=SOURCE, boot=BOOT, seq=46, label="badminton", class_index=0, score=0.83, unknown=False,
    start="2026-11-23T10:15:46.000Z", start_ns=1_795_428_946_000_000_000, media_start=46.0,
    probabilities=(0.83, 0.05, 0.12), fusion=FUSION, model=MODEL, latency_ms={"clip_to_decision": 21.3},
)  # fmt: skip

END = EventMessage(
    type="end", id=f"{BOOT}-000001", node=NODE, source=SOURCE, boot=BOOT, seq=2, stream=STREAM, offset=118,
    label="badminton", class_index=0, score=0.81, unknown=False,
    start="2026-11-23T10:15:42.000Z", end="2026-11-23T10:15:47.000Z", start_ns=1_795_428_942_000_000_000,
    media_start=42.0, media_end=47.0, seconds=5,
    fusion=replace(FUSION, votes={name: replace(vote, probabilities=None) for name, vote in VOTES.items()}),
    model=MODEL, latency_ms={"clip_to_decision": 21.3}, media=MEDIA,
)  # fmt: skip
NEW = replace(END, type="new", seq=1, offset=117, end=None, media_end=None, seconds=2, media=replace(MEDIA, post_s=0.0))

INFO = Info(
    node=NODE, boot=BOOT, version="0.1.0", started="2026-11-23T10:15:00.000Z", sources=(SOURCE,), classes=CLASSES,
    model=MODEL, models={"audio.tflite": SHA256[::-1]}, rule="class_model_table", table="t-0007",
    events=SegmenterConfig(),
)  # fmt: skip

STATS = Stats(
    node=NODE, source=SOURCE, boot=BOOT, time="2026-11-23T10:16:00.000Z", uptime_seconds=60.0, seconds_judged=59,
    seconds_dropped=1, latency_ms={"p50": 21.0, "p95": 28.4, "p99": 33.0},
    outbox={"event": Accounting(118, 116, 2), "telemetry": Accounting(1, 1)}, outbox_bytes=53_248,
    temperatures={"cpu": 51.5}, mode="full",
)  # fmt: skip

DIGEST = Digest(
    node=NODE, source=SOURCE, boot=BOOT, minute="2026-11-23T10:15:00.000Z", seconds=59,
    labels={"badminton": 5, "unknown": 54}, score=0.41, events_begun=1, missing=1,
)  # fmt: skip

QUESTION = RpcRequest(
    id="q1", reply_to=f"touchline/{NODE}/rpc/history/reply/scoreboard-7",
    parameters={"boot": BOOT, "after": 0, "limit": 100},
)  # fmt: skip

SAMPLES: dict[str, object] = {
    "status": "online",
    "info": INFO,
    "stats": STATS,
    "health": Health(level="warn", message="outbox: 2 messages wait", since="2026-11-23T10:15:59.000Z"),
    "role": "online",
    "tick": TICK,
    "event": END,
    "gap": Gap(
        node=NODE, source=SOURCE, stream=STREAM, first=31, last=90, dropped={"event": 58, "telemetry": 2},
        reason="the outbox was full, or it could not be sent",
    ),
    "label": "badminton",
    "digest": DIGEST,
    "switch": "ON",
    "switch_set": "OFF",
    "acknowledge": Acknowledgement(stream=STREAM, upto=118),
    "feedback": Feedback(id=END.id, verdict="label", label="tennis", by="referee"),
    "model_desired": ModelDesired(
        version="1.5.0", sha256=SHA256, url="https://models.example/sports3-1.5.0.tar.gz", signature="MEUCIQ...",
    ),
    "model_reported": ModelReported(
        active=BUNDLE, sha256=SHA256, previous=None, state="refused", reason="sports3 1.5.0 is not signed",
    ),
    "policy": PolicyState(state="stopped", reason="stopped by a person"),
    "policy_stop": "STOP",
    "rpc": QUESTION,
    "rpc_reply": RpcReply(id="q1", node=NODE, method="history", ok=True, events=(NEW, END)),
    "replay_tick": replace(TICK, replay=True),
    "replay_event": replace(END, replay=True, replay_of="final.mp4", stream=None, offset=None),
    "home_assistant": discovery("touchline", NODE, (SOURCE,), model=BUNDLE).payload,
    "home_assistant_status": BIRTH,
}  # fmt: skip
"""By the topic's name in the contract: a record, a plain text, or the bytes of a foreign payload."""
