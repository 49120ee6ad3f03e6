"""What a rule has found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a training: which rule says so, at which step, and what to do about it.

    `message` is a sentence with the figures, `tensor` the name of the tensor that shows it, where it is one.
    """

    rule: str
    step: int
    message: str
    advice: str
    tensor: str | None = None
