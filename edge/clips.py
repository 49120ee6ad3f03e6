"""The clips of events on disk, written before an event is announced; and those that a person has judged, by label."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import av
import msgspec

from .clip import Event
from .config import Web
from .contract import KeptClip
from .cut import cut, draft
from .messages import NANOSECONDS, EventMessage, Message, utc
from .messages import Media as Links
from .sources import SourceError
from .web.standing import Card, Media

CLIP, THUMB, CARD = "clip.mp4", "thumb.jpg", "event.json"

log = logging.getLogger(__name__)


class Clips:
    """A sink that keeps a card for each event, in a folder of its own; `keep` puts the clip there before.

    A clip is written anew with every message of its event until that has lasted as long as a clip may. A failure is
    said once; the event goes on without its clip.
    """

    def __init__(self, web: Web) -> None:
        self._web = web
        self._whole: set[str] = set()
        self._links: dict[str, Links] = {}
        self._complaint = ""
        self._turn, self._placing = threading.Lock(), ThreadPoolExecutor(1, "retraining")

    def __str__(self) -> str:
        return f"clips {self._web.clips_folder}"

    def keep(self, event: Event, media: Media, reached: float) -> Links | None:
        """Write the clip that an event has at media time `reached`, unless it is whole, and say where it is."""
        whole = event.end is not None or reached >= event.start + self._web.clip_seconds
        if event.id not in self._whole:
            self._save(event, media, reached)
        if whole:
            self._whole.add(event.id)
        links = self._links.get(event.id)
        if event.end is not None:  # it is the last that is heard of it
            self._whole.discard(event.id)
            self._links.pop(event.id, None)
        return links

    def __call__(self, message: Message) -> None:
        """Keep an event's message beside its clip."""
        if isinstance(message, EventMessage) and message.media is not None and not message.replay:
            with self._turn:
                known = read_card(self._web.clips_folder / message.id)
                card = Card(message, known.verdict if known else None)
                self._write(card)
            if card.verdict is not None:  # the clip has grown; encoding must not hold up who judges
                self._placing.submit(self._place, card)

    def say(self, card: Card) -> None:
        """Keep what a person says of an event, and put its clip among those for retraining, or take it away."""
        if card.event.media is not None:
            with self._turn:
                self._write(card)
            self._placing.submit(self._place, card).result()

    def close(self) -> None:
        """Finish what is being encoded."""
        self._placing.shutdown()

    def earlier(self, most: int = 100) -> tuple[Card, ...]:
        """What is kept of earlier events, oldest first."""
        folders = sorted(self._web.clips_folder.glob(f"*/{CARD}"), key=_modified)[-most:]
        return tuple(card for card in (read_card(file.parent) for file in folders) if card is not None)

    def _save(self, event: Event, media: Media, reached: float) -> None:
        web, folder, path = self._web, self._web.clips_folder / event.id, f"/api/events/{event.id}"
        last = min(event.start + web.clip_seconds, reached if event.end is None else event.end)
        start, end = max(0.0, event.start - web.pre_seconds), min(last + web.post_seconds, reached)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            start, end = media.save_clip(start, end, folder / CLIP, folder / THUMB, at=event.start + 1)
        except (OSError, SourceError, av.FFmpegError) as error:
            self._complain(str(error) or type(error).__name__)
            return
        pre, post = (round(max(0.0, seconds), 3) for seconds in (event.start - start, end - last))
        thumb = f"{path}/{THUMB}" if (folder / THUMB).exists() else None
        self._links[event.id] = Links(f"{path}/{CLIP}", thumb, pre, post)

    def _write(self, card: Card) -> None:
        folder = self._web.clips_folder / card.event.id
        with draft(folder / CARD) as part:
            part.write_bytes(msgspec.json.encode(card))

    def _place(self, card: Card) -> None:
        try:
            place(card, self._web.clips_folder / card.event.id / CLIP, self._web.retraining_folder)
        except (OSError, av.FFmpegError) as error:
            self._complain(f"not placed for retraining: {error}")
            raise OSError(str(error)) from None

    def _complain(self, why: str) -> None:
        if why != self._complaint:
            self._complaint = why
            log.warning("%s: %s; events go on without", self, why)


def read_card(folder: Path) -> Card | None:
    """Read what is kept of an event; None where nothing readable is."""
    try:
        return msgspec.json.decode((folder / CARD).read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def kept_clip(folder: Path, event: str) -> KeptClip | None:
    """Say where the page has the clip of an event, and what it shows; None where there is none."""
    card = read_card(folder / event)
    if card is None or card.event.media is None:
        return None
    try:
        with av.open(str(folder / event / CLIP)) as clip:
            length_ns = round((clip.duration or 0) / av.time_base * NANOSECONDS)
    except (OSError, av.FFmpegError):
        return None
    start_ns = card.event.start_ns - round(card.event.media.pre_s * NANOSECONDS)
    return KeptClip(card.event.media, utc(start_ns), utc(start_ns + length_ns))


def place(card: Card, clip: Path, folder: Path) -> None:
    """Put the event's own part of its clip into the folder of its true label; take it out where that is not known.

    `touchline-train extract` reads the folder as it is.
    """
    name = f"{card.event.node}--{card.event.id}.mp4"
    label = true_label(card)
    for old in _placed(folder, name):
        if old.parent.name != label:
            old.unlink(missing_ok=True)
    media = card.event.media
    if label is None or media is None or not clip.exists():
        return
    (folder / label).mkdir(parents=True, exist_ok=True)
    length = (card.event.media_end or card.event.media_start + card.event.seconds) - card.event.media_start
    cut(clip, media.pre_s, media.pre_s + length, folder / label / name, exact=True)


def true_label(card: Card) -> str | None:
    """The label that a person has confirmed or given; None where it is only known to be wrong."""
    if card.verdict is None or card.verdict.verdict == "wrong":
        return None
    return card.event.label if card.verdict.verdict == "ack" else card.verdict.label


def _placed(folder: Path, name: str) -> Iterator[Path]:
    with suppress(OSError):
        yield from list(folder.glob(f"*/{name}"))


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0
