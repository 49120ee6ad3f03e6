"""What is left out when the device cannot keep up, in a declared order, and taken up again when it can."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge.clip import MODES, Mode
from edge.manifest import Manifest

LATE_SECONDS = 0.7
"""A second that has waited for the judge so long is a sign of overload; so is one that was dropped."""
FULL_SHARE = 0.95
"""So is a reader that has no time to wait for its source."""
HOLD_SECONDS = 3.0
"""After a change nothing is changed for so long, until its effect shows."""
CALM_SECONDS, MOST_CALM_SECONDS = 10.0, 160.0
CALM_SHARE = 0.5
"""More is looked at again once the judge was busy for less than this share of the time for `CALM_SECONDS`."""


@dataclass(frozen=True)
class Look:
    """What a mode looks at: pictures a second, their size, and whether needless pictures are not even decoded."""

    frames_per_second: int
    size: float
    thrifty: bool


def look(mode: Mode, frames_per_second: int) -> Look:
    """Say what of `frames_per_second` pictures a mode looks at."""
    if mode == "fewer_pictures":
        return Look(max(1, frames_per_second * 2 // 5), 1.0, thrifty=True)
    if mode == "smaller_pictures":
        return Look(1, 0.5, thrifty=True)
    return Look(frames_per_second, 1.0, thrifty=False)


def modes_of(manifest: Manifest) -> tuple[Mode, ...]:
    """The modes that make a difference for a bundle."""
    if manifest.clip.frames_per_second == 0 or not manifest.sees:
        return ("full",)
    return tuple(mode for mode in MODES if mode != "no_flow" or "flow" in manifest.models)


class Load:
    """Chooses the `mode` from what each second cost: `push` takes it and says whether the mode has changed."""

    def __init__(self, modes: Sequence[Mode] = MODES) -> None:
        self._modes, self._at = tuple(modes), 0
        self._changed = self._eased = float("-inf")
        self._calm_since, self._patience = 0.0, CALM_SECONDS
        self._spent: deque[tuple[float, float]] = deque()

    @property
    def mode(self) -> Mode:
        """How much is looked at."""
        return self._modes[self._at]

    def push(self, now: float, *, waited: float, took: float, dropped: int, busy: float) -> bool:
        """Take a second that was judged `now`: how long it waited and took, what was dropped, the busiest reader."""
        self._spent.append((now, took))
        while self._spent[0][0] < now - HOLD_SECONDS:
            self._spent.popleft()
        share = sum(took for _, took in self._spent) / HOLD_SECONDS
        overloaded = dropped > 0 or waited > LATE_SECONDS or busy > FULL_SHARE
        if overloaded or share > CALM_SHARE:
            self._calm_since = now
        if now - self._changed < HOLD_SECONDS:
            return False
        if overloaded and self._at < len(self._modes) - 1:
            # Back so soon after looking at more: that was too much, and is tried again later.
            if now - self._eased < self._patience:
                self._patience = min(2 * self._patience, MOST_CALM_SECONDS)
            elif now - self._changed > self._patience:
                self._patience = CALM_SECONDS
            return self._change(1, now)
        if self._at > 0 and now - self._calm_since > self._patience:
            return self._change(-1, now)
        return False

    def _change(self, by: int, now: float) -> bool:
        self._at += by
        self._changed = self._calm_since = now
        self._eased = now if by < 0 else self._eased
        return True
