"""Between what was measured and what others use: below a minimum nothing is published."""

from __future__ import annotations

from cloud_train.recordings import TrainingError


class GateError(TrainingError):
    """A result that is not good enough to publish; the message says which figure, and by how much."""


def require(what: str, measured: float, minimum: float) -> None:
    """Raise a GateError where a figure is below its minimum, or no number."""
    if not measured >= minimum:
        msg = f"the gate is closed: {what} is {measured:.3f} and must be at least {minimum:.3f}; nothing is published"
        raise GateError(msg)
