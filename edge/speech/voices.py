"""Who says a text: a voice of Amazon Polly, or the offline one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Engine = Literal["standard", "neural", "long-form", "generative"]
ENGINES: tuple[Engine, ...] = get_args(Engine)
OFFLINE = "offline"
MOST_LEXICONS = 5


@dataclass(frozen=True)
class Voice:
    """A voice of Polly by name and engine, or `offline`, or `offline:NAME` for one of espeak-ng.

    `language` is for voices that speak several, such as `en-IN`; offline it chooses the voice where none is named.
    """

    name: str = "Matthew"
    engine: Engine = "standard"
    language: str = ""
    lexicons: tuple[str, ...] = ()

    @property
    def offline(self) -> bool:
        """Whether no network is needed."""
        return self.name == OFFLINE or self.name.startswith(f"{OFFLINE}:")

    @property
    def espeak(self) -> str:
        """The name of the voice for espeak-ng."""
        return self.name.partition(":")[2] or self.language.lower() or "en"

    def __str__(self) -> str:
        return f"{OFFLINE} ({self.espeak})" if self.offline else f"{self.name} ({self.engine})"
