"""Says events aloud: rendered beforehand, not too many of them, played or written to a folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from .config import Announce
from .loudspeaker import BusyError, Loudspeaker, WavFolder
from .messages import NANOSECONDS, EventMessage, Message, topic_id
from .speech.cache import cache_folder
from .speech.polly import Polly
from .speech.say import PARALLEL, say
from .speech.voices import OFFLINE, Voice
from .voice import RATE_HZ, Speech
from .wording import CONFIDENCES, WORDINGS, AnnounceError, Confidence, Wording, confidence_of, read_wordings, wording_of

log = logging.getLogger(__name__)


def render(
    labels: Iterable[str],
    language: str,
    wording: Wording,
    rate_hz: int = RATE_HZ,
    *,
    voice: Voice = Voice(OFFLINE),  # noqa: B008 - it is frozen
    polly: Polly | None = None,
    fallback: bool = False,
) -> tuple[dict[tuple[str, Confidence], Speech], str]:
    """Say every label with every confidence, so that no program and no network is needed later.

    With `fallback` the offline voice says it where Polly cannot be used; the second of what is returned is then why,
    else empty. Raises VoiceError.
    """
    offline = Voice(f"{OFFLINE}:{wording.voice or language}")
    texts = {(label, confidence): wording.say(label, confidence) for label in labels for confidence in CONFIDENCES}
    speaking = partial(
        say,
        voice=offline if voice.name == OFFLINE else voice,
        rate_hz=rate_hz,
        polly=polly,
        fallback=offline if fallback else None,
    )
    with ThreadPoolExecutor(PARALLEL) as pool:
        try:
            said = dict(zip(texts, pool.map(speaking, texts.values()), strict=True))
        finally:
            pool.shutdown(cancel_futures=True)
    speeches = {key: each.speech for key, each in said.items()}
    return speeches, next((each.instead_of for each in said.values() if each.instead_of), "")


class Announcer:
    """Chooses the speech for an event that begins, at most one in `minimum_seconds_between`.

    `suppressed` counts those that came too soon, `unknown` holds labels that were not rendered.
    """

    def __init__(self, speeches: Mapping[tuple[str, Confidence], Speech], minimum_seconds_between: float) -> None:
        self._speeches = speeches
        self.minimum_seconds_between = minimum_seconds_between
        self._said_at = float("-inf")
        self.suppressed = 0
        self.unknown: set[str] = set()

    def push(self, label: str, score: float, now_seconds: float) -> list[Speech]:
        """Take an event that begins; times are of one clock."""
        speech = self._speeches.get((label, confidence_of(score)))
        if speech is None:
            self.unknown.add(label)
            return []
        if abs(now_seconds - self._said_at) < self.minimum_seconds_between:
            self.suppressed += 1
            return []
        self._said_at = now_seconds
        return [speech]

    def flush(self) -> list[Speech]:
        """Nothing is kept back: what comes too soon is never said."""
        return []


class Announcements:
    """A sink that says events as they begin; `outlet` takes a name and the speech."""

    def __init__(self, announcer: Announcer, outlet: WavFolder | Loudspeaker) -> None:
        self._announcer, self._outlet = announcer, outlet

    def __str__(self) -> str:
        return "announcements"

    def __call__(self, message: Message) -> None:
        """Say an event that begins; SpeakerError says why it cannot be."""
        if not isinstance(message, EventMessage) or message.type != "new":
            return
        for speech in self._announcer.push(message.label, message.score, message.start_ns / NANOSECONDS):
            try:
                self._outlet(announcement_name(message.start, message.label), speech)
            except BusyError as error:
                log.info("%s: %s", self, error)

    def close(self) -> None:
        """Finish what is being said."""
        self._outlet.close()


def announcements(config: Announce, labels: Iterable[str]) -> Announcements:
    """Render everything and open the outlet; AnnounceError, VoiceError or SpeakerError says what is wrong."""
    unknown = [label for label in config.labels if label not in set(labels)]
    if unknown:
        msg = f"announce.labels: {unknown[0]!r} is none of the bundle's: {', '.join(labels)}"
        raise AnnounceError(msg)
    wording = wording_of(config.language, read_wordings(config.wordings) if config.wordings else WORDINGS)
    voice = Voice(config.voice, config.engine)
    polly = None if voice.offline else Polly(config.region, cache_folder(config.cache))
    speeches, instead_of = render(
        config.labels or labels,
        config.language,
        wording,
        config.rate_hz,
        voice=voice,
        polly=polly,
        fallback=config.fallback == OFFLINE,
    )
    if instead_of:
        log.warning("announcements: the offline voice speaks; %s", instead_of)
    outlet = WavFolder(config.folder) if config.folder else Loudspeaker(config.device)
    return Announcements(Announcer(speeches, config.minimum_seconds_between), outlet)


def announcement_name(start: str, label: str) -> str:
    """Name an announcement by its event, such as 20261123T101542123Z-golf; `start` is UTC as in messages."""
    return f"{start.translate({ord(sign): None for sign in '-:.'})}-{topic_id(label)}"
