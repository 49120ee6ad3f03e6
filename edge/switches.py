"""What can be turned on and off while the device runs."""

from __future__ import annotations

from .clip import MODALITIES, Modality
from .contract import SWITCHES


class Switches:
    """The state of every switch, all on at first but those named; read by inference, turned by another thread."""

    def __init__(self, *, off: tuple[str, ...] = ()) -> None:
        self._off = frozenset(off)

    def __getitem__(self, switch: str) -> bool:
        """Whether a switch is on."""
        return switch not in self._off

    def turn(self, switch: str, *, on: bool) -> None:
        """Turn a switch of `SWITCHES`."""
        assert switch in SWITCHES
        # One assignment: who reads sees the old set or the new one.
        self._off = self._off - {switch} if on else self._off | {switch}

    @property
    def left_out(self) -> frozenset[Modality]:
        """The modalities that are turned off."""
        return frozenset(name for name in MODALITIES if name in self._off)
