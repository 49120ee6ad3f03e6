"""Hands what the nodes say to a publisher, and knows what was not heard; no ROS is needed to read this."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import msgspec

from edge.contract import PolicyState
from edge.events import SegmenterConfig
from edge.messages import Message, MessageError, Stamp, encode
from edge.mqtt import MqttPublisher

from .heard import birth, described, event_message, health, nanoseconds, policy_state, tick

SILENT_SECONDS = 3.0
"""After so long without its state, which comes at least once a second, a guard or policy is silent."""
IDLE_SECONDS = 10.0
"""A detector that has judged nothing for so long is idle."""
SETTLE_SECONDS = 3.0
"""Seconds that come so soon after the detector was told to judge nothing may be of the time before."""
MOST_COMPONENTS = 256
"""Parts of /diagnostics that are published as health; each is a retained topic."""
SECONDS, EVENTS, LABELS = "event_detector/second", "event_detector/event", "event_detector/label_info"


@dataclass
class _Known:
    """What was heard of the detector; times are of the monotonic clock."""

    labels: tuple[str, ...] | None = None
    rule: str = ""
    events: SegmenterConfig = field(default_factory=SegmenterConfig)
    last_seq: int = 0
    heard_at: float | None = None
    early: int = 0


class Relay:
    """Takes every message with the time when it was heard, and publishes what follows from it.

    `complain(sentence)` is called once for each topic with a message that cannot be used, and when what is missing
    comes late. `counts` holds `seconds`, `events`, `lost` and `refused`.
    """

    def __init__(self, publisher: MqttPublisher, stamp: Stamp, complain: Callable[[str], None]) -> None:
        self._publisher, self._stamp, self._complain = publisher, stamp, complain
        self._started_ns, self._begun = time.time_ns(), False
        self._known, self._numbers = _Known(), Counter[tuple[type, bool]]()
        self._turned_at, self._roles = 0.0, set[str]()
        self._policies: dict[str, tuple[PolicyState, float]] = {}
        self._components: dict[str, float] = {}
        self._wrong: dict[str, tuple[str, float]] = {}
        self.counts = Counter[str]()

    def second(self, message: Any, now: float) -> None:  # noqa: ANN401 - a message's type is known to ROS alone
        """Take a touchline_msgs/Second."""
        said = self._read(SECONDS, tick, message, nanoseconds(message.header.stamp), now)
        if said is None:
            return
        known = self._known
        self.counts["lost"] += max(0, message.seq - known.last_seq - 1) if known.last_seq else 0
        known.last_seq, known.heard_at = message.seq, now
        if message.rule != known.rule:
            known.rule = message.rule
            self._describe()
        self._send(said, "seconds")
        for vote in message.votes:
            self._roles.add(vote.modality)
            self._say_role(vote.modality, there=vote.valid)
        if not self._publisher.control.switches["enabled"] and now - self._turned_at > SETTLE_SECONDS:
            self.enabled(now, on=True)

    def event(self, message: Any, now: float) -> None:  # noqa: ANN401
        """Take a touchline_msgs/Event."""
        said = self._read(EVENTS, event_message, message, nanoseconds(message.start), now)
        if said is not None:
            self._send(said, "events")

    def label_info(self, message: Any) -> None:  # noqa: ANN401
        """Take a touchline_msgs/LabelInfo: from now on messages name this model."""
        self._stamp = described(self._stamp, message)
        early, self._known.early = self._known.early, 0
        self._known.labels = tuple(message.labels)
        if early:
            self._complain(f"{LABELS}: came late; {early} messages before it name no model")
        self._describe()

    def settings(self, found: dict[str, Any]) -> None:
        """Take what the detector's parameters say of its events."""
        with contextlib.suppress(msgspec.ValidationError):  # of other types than ours they are not these settings
            self._known.events = msgspec.convert({**asdict(self._known.events), **found}, SegmenterConfig)
            self._describe()

    def policy(self, node: str, message: Any, now: float) -> None:  # noqa: ANN401
        """Take a touchline_msgs/PolicyState of `guard` or of `policy`."""
        try:
            self._policies[node] = policy_state(message), now
        except MessageError as error:
            self._refuse(f"{node}/state", str(error), now)

    def diagnostics(self, message: Any, now: float) -> None:  # noqa: ANN401
        """Take a diagnostic_msgs/DiagnosticArray; what is more than 256 parts is left out, and that is said."""
        for status in message.status:
            component, level, words = health(status)
            if component not in self._components and len(self._components) == MOST_COMPONENTS:
                self._refuse("/diagnostics", f"has more than {MOST_COMPONENTS} parts; the others are left out", now)
                continue
            self._components[component] = now
            self._publisher.later(partial(self._publisher.vitals.report, component, level, words))

    def enabled(self, now: float, *, on: bool) -> None:
        """The detector judges, or does not."""
        self._turned_at = now
        self._publisher.later(partial(self._publisher.control.turned, "enabled", on=on))

    def hindrance(self, *, guarded: bool) -> str:
        """Say why nothing may be done now that could let the robot move; `guarded`: a guard is there."""
        guard = self._policies.get("guard")
        if guard is None:
            return "the guard has not said yet how it is" if guarded else ""
        active = guard[0].state == "active"
        return "the guard is active, and what could let it move is done beside the robot" if active else ""

    def look(self, now: float, *, stop: str) -> None:
        """Publish how policy and modalities stand; `stop` says of a stop that was told what keeps it from the guard."""
        state = self._policy_now(now)
        if stop:
            state = replace(state, reason=f"told to stop over MQTT, but {stop}; it is told again until it answers")
        self._publisher.later(partial(self._publisher.control.say_policy, state))
        silent = f"nothing was heard for {IDLE_SECONDS:.0f} s"
        for component, at in self._components.items():
            if now - at > IDLE_SECONDS:
                self._publisher.later(partial(self._publisher.vitals.report, component, "stale", silent))
        if self._known.heard_at is not None and now - self._known.heard_at > IDLE_SECONDS:
            self.close()

    def close(self) -> None:
        """Say of every modality that it takes no part."""
        for role in self._roles:
            self._say_role(role, there=False)

    def detector_trouble(self, now: float) -> str:
        """What is wrong with what is heard of the detector, in a sentence; empty: nothing."""
        known = self._known
        wrong = [sentence for sentence, at in self._wrong.values() if now - at < IDLE_SECONDS]
        if wrong:
            return wrong[-1]
        if known.labels is None:
            return (
                f"{LABELS}: nothing was heard; messages name no model"
                if known.early
                else f"{LABELS}: nothing was heard yet"
            )
        if known.heard_at is None or now - known.heard_at > IDLE_SECONDS:
            return f"{SECONDS}: nothing was heard for {IDLE_SECONDS:.0f} s or more"
        return ""

    def policy_trouble(self, now: float) -> str:
        """Which of guard and policy has fallen silent, in a sentence; empty: none that was ever heard."""
        silent = [node for node, (_, at) in self._policies.items() if now - at > SILENT_SECONDS]
        return "; ".join(f"{node}/state: nothing was heard for {SILENT_SECONDS:.0f} s" for node in silent)

    def _read(self, topic: str, read: Callable[..., Any], message: Any, at_ns: int, now: float) -> Any:  # noqa: ANN401
        own = self._stamp.source
        if message.source != own:
            self._refuse(topic, f"source: is {message.source!r}, this gateway's is {own!r}; set `source` alike", now)
            return None
        try:
            stamp = self._stamp if self._begun else replace(self._stamp, epoch_ns=at_ns)
            said = read(message, stamp, 0)
        except MessageError as error:
            self._refuse(topic, str(error), now)
            return None
        self._stamp, self._begun = stamp, True
        if self._known.labels is None:
            if not self._known.early:
                self._complain(f"{topic}: comes, but {LABELS} does not; messages name no model until it does")
            self._known.early += 1
        return said

    def _refuse(self, topic: str, why: str, now: float) -> None:
        self.counts["refused"] += 1
        if topic not in self._wrong:
            self._complain(f"{topic}: {why}")
        self._wrong[topic] = f"{topic}: {why}", now

    def _send(self, said: Any, kind: str) -> None:  # noqa: ANN401
        self.counts[kind] += 1
        number = type(said), said.replay
        self._numbers[number] += 1
        message: Message = replace(said, seq=self._numbers[number])
        self._publisher(message)

    def _say_role(self, role: str, *, there: bool) -> None:
        levels = f"{self._stamp.source}/status/{role}"
        self._publisher.later(partial(self._publisher.state, levels, "online" if there else "offline"))

    def _describe(self) -> None:
        known, stamp = self._known, replace(self._stamp, epoch_ns=self._started_ns)
        info = birth(stamp, labels=known.labels or (), rule=known.rule, events=known.events)
        self._publisher.later(partial(self._publisher.state, "info", encode(info)))
        if known.labels is not None:
            self._publisher.later(partial(self._publisher.control.describe, stamp))

    def _policy_now(self, now: float) -> PolicyState:
        """What moves is the guard's to say; one that has fallen silent is shown as it was, as it may still be so."""
        for node in ("guard", "policy"):
            if node in self._policies:
                state, at = self._policies[node]
                silent = f"nothing was heard of the {node} for {SILENT_SECONDS:.0f} s, this is how it was"
                return replace(state, reason=silent) if now - at > SILENT_SECONDS else state
        return PolicyState(state="inactive", reason="neither a guard nor a policy was heard")
