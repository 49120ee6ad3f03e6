"""What MQTT told, carried to the services of detector and guard: the only ones that the gateway can call."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any

from rcl_interfaces.srv import GetParameters
from rclpy.lifecycle import LifecycleNode
from rclpy.parameter import parameter_value_to_python
from std_srvs.srv import SetBool, Trigger
from touchline_msgs.srv import Feedback as FeedbackService

from edge.contract import Feedback
from edge.control import Reach

from .asking import Asking


class Told:
    """Calls `event_detector/enable`, `event_detector/feedback` and `guard/stop`, and tells what came of it.

    No other service can be called by it, so nothing that comes over MQTT can start motion: that takes the guard's
    reset and lifecycle, both of which are for whoever stands beside the robot. Nor can a detector that is enabled let
    a guard that waits for its inputs move: while `hindrance()` says why, none is. A stop is repeated until the guard
    has answered, however long that takes; the others are tried once. `reach` is called in the publisher's thread, all
    else in the executor's. `troubles` says by the service what went wrong with it last.
    """

    def __init__(
        self,
        node: LifecycleNode,
        *,
        enabled: Callable[[bool], None],
        hindrance: Callable[[], str],
        complain: Callable[[str], None],
    ) -> None:
        self._enabled, self._hindrance, self._complain = enabled, hindrance, complain
        self._enable = node.create_client(SetBool, "event_detector/enable")
        self._feedback = node.create_client(FeedbackService, "event_detector/feedback")
        self._stop = node.create_client(Trigger, "guard/stop")
        self._parameters = node.create_client(GetParameters, "event_detector/get_parameters")
        self._clients = (self._enable, self._feedback, self._stop, self._parameters)
        self._inbox: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._wake = node.create_guard_condition(self.look)
        self._node, self._asking = node, Asking()
        self._stops_told = self._stops_heard = self._stop_asked = 0
        self._wanted: tuple[str, ...] = ()
        self._then: Callable[[dict[str, Any]], None] = lambda _found: None
        self.troubles: dict[str, str] = {}
        self.reach = Reach(
            turn=lambda on: self._later(partial(self._turn, on)),
            stop=lambda: self._later(self._want_stop),
            feedback=lambda what: self._later(partial(self._hand_on, what)),
        )

    @property
    def stop_trouble(self) -> str:
        """What keeps a stop that was told from the guard, in a sentence; empty: there is none, or it was heard."""
        if self._stops_heard == self._stops_told:
            return ""
        return self.troubles.get(self._stop.srv_name) or f"{self._stop.srv_name}: has not answered yet"

    def look(self) -> None:
        """Do what was told and see what was answered; several times a second."""
        while not self._inbox.empty():
            self._inbox.get()()
        self._asking.look(time.monotonic())
        if self._wanted and self._parameters.service_is_ready():
            for name in self._wanted:
                self._ask_parameter(name)
            self._wanted = ()
        if self._stops_heard < self._stops_told and not self._stop_asked:
            self._stop_asked = self._stops_told
            self._ask(self._stop, Trigger.Request(), self._stopped)

    def ask_settings(self, names: tuple[str, ...], then: Callable[[dict[str, Any]], None]) -> None:
        """Ask the detector for parameters as soon as it can be asked; `then` gets each that it has."""
        self._wanted, self._then = names, then

    def _ask_parameter(self, name: str) -> None:
        def answered(response: Any, _why: str) -> None:  # noqa: ANN401 - a message's type is known to ROS alone
            if response is not None and response.values:
                self._then({name: parameter_value_to_python(response.values[0])})

        # One at a time: asked for several, a node without one of them answers nothing.
        self._asking.push(self._parameters, GetParameters.Request(names=[name]), answered, time.monotonic())

    def close(self) -> None:
        """Forget all questions and services."""
        self._asking.flush()
        for client in self._clients:
            self._node.destroy_client(client)
        self._node.destroy_guard_condition(self._wake)

    def _later(self, work: Callable[[], None]) -> None:
        self._inbox.put(work)
        self._wake.trigger()

    def _turn(self, on: bool) -> None:  # noqa: FBT001 - what the service takes
        def turned(response: Any) -> str:  # noqa: ANN401
            if not response.success:
                return f"refused ({response.message})"
            self._enabled(on)
            return ""

        why = self._hindrance() if on else ""
        if why:
            self._note(self._enable, f"{self._enable.srv_name}: not called, {why}")
        else:
            self._ask(self._enable, SetBool.Request(data=on), turned)

    def _want_stop(self) -> None:
        self._stops_told += 1

    def _stopped(self, response: Any) -> str:  # noqa: ANN401
        # Whatever the guard says, it has heard: one that is not active has nothing to stop. What was told since it was
        # asked is told anew, as it may have been reset in between.
        self._stops_heard = self._stop_asked
        return "" if response.success else f"answered: {response.message}"

    def _hand_on(self, what: Feedback) -> None:
        request = FeedbackService.Request(id=what.id, verdict=what.verdict, label=what.label or "")
        self._ask(self._feedback, request, lambda answer: "" if answer.success else f"refused ({answer.message})")

    def _ask(self, client: Any, request: Any, answered: Callable[[Any], str]) -> None:  # noqa: ANN401
        def then(response: Any, why: str) -> None:  # noqa: ANN401
            trouble = why if response is None else answered(response)
            if client is self._stop:
                self._stop_asked = 0
            sentence = trouble if response is None or not trouble else f"{client.srv_name}: {trouble}"
            self._note(client, sentence)

        self._asking.push(client, request, then, time.monotonic())

    def _note(self, client: Any, sentence: str) -> None:  # noqa: ANN401
        if sentence and sentence != self.troubles.get(client.srv_name):
            self._complain(sentence)
        self.troubles[client.srv_name] = sentence
