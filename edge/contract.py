"""The MQTT contract as data: every topic, which way it goes, how it is sent, and the record that it carries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .messages import EventMessage, Info, Media, Tick

Direction = Literal["from device", "to device"]
Verdict = Literal["ack", "wrong", "label"]
Level = Literal["ok", "warn", "error", "stale"]
SWITCHES = ("enabled", "rgb", "flow", "audio", "record", "publish_ticks")
RPC_METHODS = ("history", "get_clip", "self_test")


@dataclass(frozen=True, kw_only=True)
class Gap:
    """Offsets `first` to `last` of a stream will never come: the outbox dropped them, and says so in their place."""

    schema: Literal["gap/1"] = "gap/1"
    node: str
    source: str
    stream: str
    first: int
    last: int
    dropped: dict[str, int]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Acknowledgement:
    """A consumer has committed every message of `stream` up to and with offset `upto`; retained."""

    schema: Literal["ack/1"] = "ack/1"
    stream: str
    upto: int


@dataclass(frozen=True)
class Accounting:
    """What became of the messages of one class; produced = delivered + queued + dropped + dead, at any time."""

    produced: int = 0
    delivered: int = 0
    queued: int = 0
    dropped: int = 0
    dead: int = 0


@dataclass(frozen=True, kw_only=True)
class Stats:
    """How a node is doing, every ten seconds; milliseconds, bytes, degrees Celsius.

    `latency_ms` holds p50, p95 and p99 of the decision over the last minute, `temperatures` the machine's own sensors
    by name, `mode` is `full`, or `reduced` while a modality is switched off or missing.
    """

    schema: Literal["stats/1"] = "stats/1"
    node: str
    source: str
    boot: str
    time: str
    uptime_seconds: float
    seconds_judged: int
    seconds_dropped: int
    latency_ms: dict[str, float]
    outbox: dict[str, Accounting]
    outbox_bytes: int
    temperatures: dict[str, float]
    mode: Literal["full", "reduced"]


@dataclass(frozen=True, kw_only=True)
class Health:
    """How one component is; retained. `since` is when it became so, `state` the state of a live source in a word."""

    schema: Literal["health/1"] = "health/1"
    level: Level
    message: str
    since: str
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class Digest:
    """A minute in short: seconds for each label, the mean score, how many events began and how many seconds fell out.

    `minute` is its start in UTC. Retained for an hour.
    """

    schema: Literal["digest/1"] = "digest/1"
    node: str
    source: str
    boot: str
    minute: str
    seconds: int
    labels: dict[str, int]
    score: float
    events_begun: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class Feedback:
    """What a person says of an event: right (`ack`), `wrong`, or that its `label` is another; kept for retraining."""

    schema: Literal["feedback/1"] = "feedback/1"
    id: str
    verdict: Verdict
    label: str | None = None
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class ModelDesired:
    """The bundle that a node should run; nothing that is not signed is taken."""

    schema: Literal["model-desired/1"] = "model-desired/1"
    version: str
    sha256: str
    url: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class ModelReported:
    """The bundle that a node runs, the one before, and what became of the wish."""

    schema: Literal["model-reported/1"] = "model-reported/1"
    active: str
    sha256: str
    previous: str | None
    state: Literal["active", "fetching", "refused"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class PolicyState:
    """What the policy does; retained. No topic can start motion."""

    schema: Literal["policy/1"] = "policy/1"
    state: Literal["inactive", "shadow", "active", "stopped"]
    reason: str


@dataclass(frozen=True, kw_only=True)
class RpcRequest:
    """A question to a node. The answer goes to the MQTT 5 response topic, else to `reply_to`, with the same `id`.

    `parameters` of `history`: `boot` and `after`, a seq of it: what followed, of this boot and later ones; without
    `boot` from the oldest kept; at most `limit`. Of `get_clip`: `event`, its id. Of `self_test`: none.
    """

    schema: Literal["rpc/1"] = "rpc/1"
    id: str
    reply_to: str | None = None
    parameters: dict[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True)
class KeptClip:
    """The clip of an event: `media` as in the event, and the UTC times of what it shows, from `start` to `end`."""

    media: Media
    start: str
    end: str


@dataclass(frozen=True, kw_only=True)
class RpcReply:
    """The answer to a question: a result, or an error in a sentence; `more`: another request gives the rest."""

    schema: Literal["rpc-reply/1"] = "rpc-reply/1"
    id: str
    node: str
    method: str
    ok: bool
    error: str | None = None
    events: tuple[EventMessage, ...] = ()
    steps: dict[str, str] = field(default_factory=dict)
    more: bool = False
    clip: KeptClip | None = None


@dataclass(frozen=True)
class Topic:
    """One topic of the contract; state is retained, a message is not.

    `payload` is a record, or the plain texts that the topic may carry; none of them: any label.
    """

    address: str
    direction: Direction
    qos: Literal[0, 1]
    kind: Literal["state", "message"]
    payload: type | tuple[str, ...]
    summary: str
    expiry_seconds: int | None = None
    """After which an MQTT 5 broker forgets it; in 3.1.1 the sender publishes an empty payload then."""


@dataclass(frozen=True)
class Parameter:
    """One variable level of a topic; `values` are all that it can be, if they are few."""

    summary: str
    example: str
    values: tuple[str, ...] = ()


STATUS = ("online", "stopped", "offline")
ROLE_STATUS = ("online", "offline", "disabled")
ON_OFF = ("ON", "OFF")

TOPICS: dict[str, Topic] = {
    "status": Topic(
        "{base}/{node}/status", "from device", 1, "state", STATUS,
        "whether the node is there; `offline` is its last will",
    ),
    "info": Topic("{base}/{node}/info", "from device", 1, "state", Info, "what the node is, anew at every connection"),
    "stats": Topic("{base}/{node}/stats", "from device", 0, "message", Stats, "every ten seconds"),
    "health": Topic("{base}/{node}/health/{component}", "from device", 1, "state", Health, "how one component is"),
    "role": Topic(
        "{base}/{node}/{source}/status/{role}", "from device", 1, "state", ROLE_STATUS, "whether a modality takes part",
    ),
    "tick": Topic("{base}/{node}/{source}/tick", "from device", 0, "message", Tick, "the decision, once a second"),
    "event": Topic(
        "{base}/{node}/{source}/event", "from device", 1, "message", EventMessage, "an event begins, goes on or ends",
    ),
    "gap": Topic("{base}/{node}/{source}/gap", "from device", 1, "message", Gap, "what had to be dropped"),
    "label": Topic("{base}/{node}/{source}/label", "from device", 1, "state", (), "the label that is on, or `none`"),
    "digest": Topic(
        "{base}/{node}/{source}/digest/{minute}", "from device", 1, "state", Digest, "a minute in short",
        3600,
    ),
    "switch": Topic("{base}/{node}/{source}/{switch}/state", "from device", 1, "state", ON_OFF, "how a switch stands"),
    "switch_set": Topic("{base}/{node}/{source}/{switch}/set", "to device", 1, "message", ON_OFF, "turn a switch"),
    "acknowledge": Topic(
        "{base}/{node}/{source}/acknowledge/{consumer}", "to device", 1, "state", Acknowledgement,
        "a consumer has committed (end-to-end delivery)",
    ),
    "feedback": Topic("{base}/{node}/feedback", "to device", 1, "message", Feedback, "what a person says of an event"),
    "model_desired": Topic(
        "{base}/{node}/model/desired", "to device", 1, "state", ModelDesired, "the bundle that the node should run",
    ),
    "model_reported": Topic(
        "{base}/{node}/model/reported", "from device", 1, "state", ModelReported, "the bundle that the node runs",
    ),
    "policy": Topic("{base}/{node}/policy/state", "from device", 1, "state", PolicyState, "what the policy does"),
    "policy_stop": Topic(
        "{base}/{node}/policy/stop/set", "to device", 1, "message", ("STOP",), "stop the policy; nothing starts it",
    ),
    "rpc": Topic("{base}/{node}/rpc/{method}", "to device", 1, "message", RpcRequest, "ask the node"),
    "rpc_reply": Topic(
        "{base}/{node}/rpc/{method}/reply/{caller}", "from device", 1, "message", RpcReply, "the answer to a question",
    ),
    "replay_tick": Topic(
        "{base}/{node}/replay/{session}/{source}/tick", "from device", 0, "message", Tick, "a recording played again",
    ),
    "replay_event": Topic(
        "{base}/{node}/replay/{session}/{source}/event", "from device", 1, "message", EventMessage,
        "a recording played again",
    ),
}  # fmt: skip

HOME_ASSISTANT: dict[str, Topic] = {
    "home_assistant": Topic(
        "homeassistant/device/{node}/config", "from device", 1, "state", dict,
        "Home Assistant's discovery of the node, off by default",
    ),
    "home_assistant_status": Topic(
        "homeassistant/status", "to device", 1, "message", ("online", "offline"),
        "Home Assistant has started: the node describes itself again",
    ),
}  # fmt: skip
"""Topics whose form is Home Assistant's, not ours."""

PARAMETERS: dict[str, Parameter] = {
    "base": Parameter("the first level or levels, the path of the address given to the device", "touchline"),
    "node": Parameter("the device, `[mqtt] node` or its host name", "truck1"),
    "source": Parameter("what the device watches, by default the file's name", "cam2"),
    "role": Parameter("a modality, or the file of every message", "audio", ("rgb", "flow", "audio", "record")),
    "component": Parameter("a part of the device", "outbox"),
    "switch": Parameter("a switch", "audio", SWITCHES),
    "minute": Parameter("the start of the minute in UTC, as `YYYYmmddTHHMM`", "20261123T1015"),
    "consumer": Parameter("who acknowledges, one of `[mqtt] consumers`", "archive"),
    "method": Parameter("the question", "history", RPC_METHODS),
    "caller": Parameter("an id that the asking client chose", "scoreboard-7"),
    "session": Parameter("an id of one playing of a recording", "s1"),
}
"""The variable levels; each is an id, 1 to 64 of `[A-Za-z0-9_-]`, and `base` may have several levels."""
