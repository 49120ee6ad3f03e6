"""Asks services without waiting for them: an answer, or after a while a sentence that there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rclpy.client import Client

ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class _Question:
    client: Client
    future: Any
    then: Callable[[Any, str], None]
    until: float


class Asking:
    """Questions that are under way; called in the executor's thread only.

    `then(response, "")` follows an answer, `then(None, why)` a service that is not there or does not answer in time.
    """

    def __init__(self) -> None:
        self._open: list[_Question] = []

    def push(self, client: Client, request: Any, then: Callable[[Any, str], None], now: float) -> None:  # noqa: ANN401
        """Ask; `now` is of the monotonic clock."""
        if not client.service_is_ready():
            then(None, f"{client.srv_name}: there is no such service")
            return
        self._open.append(_Question(client, client.call_async(request), then, now + ANSWER_SECONDS))

    def look(self, now: float) -> None:
        """Pass on the answers that have come, and give up what has waited too long."""
        waiting, self._open = self._open, []
        for question in waiting:
            if question.future.done():
                question.then(question.future.result(), "")
            elif now > question.until:
                question.client.remove_pending_request(question.future)
                why = f"{question.client.srv_name}: has not answered for {ANSWER_SECONDS:.0f} s"
                question.then(None, why)
            else:
                self._open.append(question)

    def flush(self) -> None:
        """Forget all questions."""
        for question in self._open:
            question.client.remove_pending_request(question.future)
        self._open = []
