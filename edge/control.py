"""Carries out what a node is told: switches, feedback, questions, the wish for a model, stopping the policy."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import msgspec
from paho.mqtt.client import MQTTMessage, topic_matches_sub
from paho.mqtt.properties import Properties

from .config import Mqtt
from .contract import (
    SWITCHES,
    Acknowledgement,
    Feedback,
    KeptClip,
    ModelDesired,
    ModelReported,
    PolicyState,
    RpcReply,
)
from .feedback import FeedbackFile
from .messages import EventMessage, Stamp, utc
from .outbox import OutboxError
from .remote import IDENTIFIER, Acknowledged, Command, Question, RefusedError, StopPolicy, Turn, read_command
from .rpc import answer_address
from .switches import Switches

SAY_SECONDS = 60.0
"""Refusals are said at most so often."""
MOST_GIVEN = 100
"""Events in one answer."""
ALWAYS = ("enabled", "publish_ticks")

log = logging.getLogger(__name__)


class Post(Protocol):
    """What a command may cause: state and answers published, and work done later in the publisher's thread."""

    def state(self, levels: str, payload: bytes | str) -> None:
        """Publish retained state below the node."""

    def answer(self, topic: str, payload: bytes, properties: Properties | None) -> None:
        """Publish an answer."""

    def acknowledged(self, consumer: str, what: Acknowledgement) -> None:
        """A consumer has committed."""

    def history(self, after: tuple[str, int] | None, limit: int) -> tuple[tuple[EventMessage, ...], bool]:
        """Events that are kept, and whether there are more; OutboxError says why there are none."""

    def later(self, work: Callable[[], None]) -> None:
        """Do something in the publisher's thread."""


@dataclass(frozen=True)
class Reach:
    """What commands do where judge and policy are other processes; called in the publisher's thread, must not wait.

    `turn` is asked for `enabled`, `stop` to stop the policy; what comes of it is told later, by `Control.turned` and
    `Control.say_policy`. `feedback` is handed on beside being kept.
    """

    turn: Callable[[bool], None]
    stop: Callable[[], None]
    feedback: Callable[[Feedback], None]


@dataclass
class _Refusals:
    count: int = 0
    said: float = -SAY_SECONDS


class Control:
    """A node's switches, policy, model and questions; called by the publisher's thread only.

    `roles` are what the node has: modalities, and `record`. `self_test` returns its steps, each `ok` or what is wrong.
    `find_clip` finds the clip of an event; None: there are none. Unless it `leads`, it is told only what concerns its
    source.
    """

    def __init__(
        self,
        post: Post,
        stamp: Stamp,
        roles: Sequence[str],
        switches: Switches,
        *,
        base: str,
        mqtt: Mqtt,
        self_test: Callable[[], dict[str, str]] | None,
        reach: Reach | None = None,
        leads: bool = True,
        find_clip: Callable[[str], KeptClip | None] | None = None,
    ) -> None:
        self._leads, self._find_clip = leads, find_clip
        self._reach, self._policy = reach, PolicyState(state="inactive", reason="this node runs no policy")
        self._post, self._stamp, self._roles, self.switches = post, stamp, roles, switches
        self._node, self._consumers = f"{base}/{stamp.node}", mqtt.consumers
        self.names = tuple(name for name in SWITCHES if name in (*ALWAYS, *roles))
        folder = mqtt.folder
        self._feedback = FeedbackFile(folder / f"feedback-{stamp.node}.jsonl") if folder else None
        self._self_test, self._testing = self_test, False
        self._refusals = _Refusals()
        self.refused = 0

    def topics(self) -> tuple[str, ...]:
        """Where commands come."""
        source = f"{self._node}/{self._stamp.source}"
        below = ("feedback", "model/desired", "policy/stop/set", "rpc/+")
        acknowledged = (f"{source}/acknowledge/{name}" for name in self._consumers)
        whole = (f"{self._node}/{levels}" for levels in below) if self._leads else ()
        return (f"{source}/+/set", *whole, *acknowledged)

    def announce(self) -> None:
        """Publish how everything stands."""
        for name in self.names:
            self._say_switch(name)
        for role in self._roles:
            self._say_role(role)
        if self._leads:
            self.describe(self._stamp)
            self.say_policy(self._policy)

    def describe(self, stamp: Stamp) -> None:
        """Publish which bundle judges, now and from now on."""
        self._stamp = stamp
        reported = ModelReported(active=stamp.model, sha256=stamp.sha256, previous=None, state="active", reason="")
        self._post.state("model/reported", msgspec.json.encode(reported))

    def say_policy(self, state: PolicyState) -> None:
        """Publish what the policy does."""
        self._policy = state
        self._post.state("policy/state", msgspec.json.encode(state))

    def turned(self, switch: str, *, on: bool) -> None:
        """Note how a switch stands now, and publish it."""
        self.switches.turn(switch, on=on)
        self._say_switch(switch)
        for role in self._roles:
            self._say_role(role)

    def heard(self, message: MQTTMessage) -> str | None:
        """Carry out a command, or refuse it, with no effect; returns why, for the node's health, once a minute."""
        if not any(topic_matches_sub(topic, message.topic) for topic in self.topics()):
            return None  # some brokers send all that is retained, asked for or not
        levels = message.topic[len(self._node) + 1 :]
        try:
            command = read_command(levels, bytes(message.payload), self._stamp.source, retained=message.retain)
            if command is not None:
                self._obey(command, message)
        except RefusedError as error:
            return self._refuse(levels, str(error))
        return None

    def keep(self, feedback: Feedback) -> None:
        """Keep what a person says of an event; RefusedError says why that cannot be."""
        if self._reach is not None:
            self._reach.feedback(feedback)
        if self._feedback is None:
            msg = "this node keeps nothing on its disk, so no feedback either"
            raise RefusedError(msg)
        try:
            self._feedback.add(feedback, utc(time.time_ns()))
        except OSError as error:
            msg = f"could not be kept ({(error.strerror or str(error)).lower()})"
            raise RefusedError(msg) from None

    def close(self) -> None:
        """Publish that nothing is judged any more."""
        for role in self._roles:
            self._post.state(f"{self._stamp.source}/status/{role}", "offline")
        if self._feedback is not None:
            self._feedback.close()

    def _refuse(self, levels: str, why: str) -> str | None:
        self.refused += 1
        if time.monotonic() - self._refusals.said < SAY_SECONDS:
            return None
        self._refusals.said = time.monotonic()
        where = levels if all(map(IDENTIFIER.fullmatch, levels.split("/"))) else "a topic that is none"
        sentence = f"{where}: {why}"
        log.warning("refused a command on %s", sentence)
        return sentence

    def _obey(self, command: Command, message: MQTTMessage) -> None:
        match command:
            case Turn():
                self._turn(command)
            case Acknowledged():
                self._post.acknowledged(command.consumer, command.what)
            case StopPolicy():
                self._stop()
            case Feedback():
                self.keep(command)
            case ModelDesired():
                self._wish(command)
            case Question():
                self._ask(command, message)

    def _turn(self, turn: Turn) -> None:
        if turn.switch not in self.names:
            msg = "this node has nothing that this switch turns"
            raise RefusedError(msg)
        if self._reach is not None and turn.switch == "enabled":
            self._reach.turn(turn.on)
        else:
            self.turned(turn.switch, on=turn.on)

    def _stop(self) -> None:
        if self._reach is not None:
            self._reach.stop()
        else:
            self.say_policy(PolicyState(state="stopped", reason="told to stop over MQTT"))

    def _say_switch(self, name: str) -> None:
        self._post.state(f"{self._stamp.source}/{name}/state", "ON" if self.switches[name] else "OFF")

    def _say_role(self, role: str) -> None:
        on = self.switches[role] and self.switches["enabled"]
        self._post.state(f"{self._stamp.source}/status/{role}", "online" if on else "disabled")

    def _wish(self, desired: ModelDesired) -> None:
        stamp = self._stamp
        reported = ModelReported(active=stamp.model, sha256=stamp.sha256, previous=None, state="active", reason="")
        if desired.sha256 != stamp.sha256:
            reason = "it is signed, but this node trusts no key" if desired.signature else "it is not signed"
            reported = replace(reported, state="refused", reason=reason)
        self._post.state("model/reported", msgspec.json.encode(reported))

    def _ask(self, question: Question, message: MQTTMessage) -> None:
        method, request = question.method, question.request
        topic, properties = answer_address(message, request.reply_to)
        prefix = f"{self._node}/rpc/{method}/reply/"
        if topic is None or not topic.startswith(prefix) or not IDENTIFIER.fullmatch(topic[len(prefix) :]):
            msg = "a question must say where below its own topic, at reply/ and an id, the answer goes"
            raise RefusedError(msg)
        answer = partial(self._answer, topic, properties)
        reply = RpcReply(id=request.id, node=self._stamp.node, method=method, ok=True)
        if method == "history":
            answer(self._history(reply, request.parameters))
        elif method == "get_clip":
            answer(self._clip(reply, request.parameters.get("event")))
        elif self._self_test is None or self._testing:
            why = "a self test is going on" if self._testing else "this node cannot test itself"
            answer(replace(reply, ok=False, error=why))
        else:
            self._testing = True
            threading.Thread(target=self._test, args=(self._self_test, reply, answer), daemon=True).start()

    def _history(self, reply: RpcReply, parameters: dict[str, str | int]) -> RpcReply:
        boot, after, limit = parameters.get("boot"), parameters.get("after", 0), parameters.get("limit", MOST_GIVEN)
        if not isinstance(boot, str | None) or not isinstance(after, int) or not isinstance(limit, int) or limit < 1:
            return replace(reply, ok=False, error="parameters: boot is a text, after and limit are whole numbers")
        try:
            events, more = self._post.history(None if boot is None else (boot, after), min(limit, MOST_GIVEN))
        except OutboxError as error:
            return replace(reply, ok=False, error=str(error))
        return replace(reply, events=events, more=more)

    def _clip(self, reply: RpcReply, event: str | int | None) -> RpcReply:
        if self._find_clip is None:
            return replace(reply, ok=False, error="this node keeps no clips")
        if not isinstance(event, str) or not IDENTIFIER.fullmatch(event):
            return replace(reply, ok=False, error="parameters: event is the id of an event")
        clip = self._find_clip(event)
        return replace(reply, clip=clip) if clip else replace(reply, ok=False, error=self._why_no_clip(event))

    def _why_no_clip(self, event: str) -> str:
        said = [message for message in self._past(event.rpartition("-")[0]) if message.id == event]
        if not said:
            return "no event of this id is known here"
        if not any(message.media for message in said):
            return "no clip of this event could be written"
        return "the clip of this event had to make room for newer ones"

    def _past(self, boot: str) -> Iterator[EventMessage]:
        """Give the events of a boot that are kept."""
        after, more = 0, True
        while more:
            try:
                events, more = self._post.history((boot, after), MOST_GIVEN)
            except OutboxError:
                return
            mine = [event for event in events if event.boot == boot]
            yield from mine
            after, more = mine[-1].seq if mine else 0, more and len(mine) == len(events) > 0

    def _test(
        self, self_test: Callable[[], dict[str, str]], reply: RpcReply, answer: Callable[[RpcReply], None]
    ) -> None:
        steps = self_test()
        failed = next((f"{name}: {said}" for name, said in steps.items() if said != "ok"), None)

        def done() -> None:
            self._testing = False
            answer(replace(reply, ok=failed is None, error=failed, steps=steps))

        self._post.later(done)

    def _answer(self, topic: str, properties: Properties | None, reply: RpcReply) -> None:
        self._post.answer(topic, msgspec.json.encode(reply), properties)
