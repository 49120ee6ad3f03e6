"""The state that a node keeps retained at the broker: every connection gets it anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class State:
    """A retained payload; `until`, in seconds of the caller's clock, it holds, without end by default."""

    payload: bytes | str
    until: float | None = None


class Retained:
    """State by topic, in the order in which it was first set."""

    def __init__(self) -> None:
        self._states: dict[str, State] = {}

    def set(self, topic: str, payload: bytes | str, until: float | None = None) -> State | None:
        """Set a topic's state; returns it if it is news."""
        state = State(payload, until)
        if self._states.get(topic) == state:
            return None
        self._states[topic] = state
        return state

    def __iter__(self) -> Iterator[tuple[str, State]]:
        """All state."""
        return iter(tuple(self._states.items()))

    def expire(self, now: float) -> list[str]:
        """Forget what holds no longer; returns the topics to clear at a broker that does not do so itself."""
        over = [topic for topic, state in self._states.items() if state.until is not None and state.until <= now]
        for topic in over:
            del self._states[topic]
        return over
