"""The page of the device that it runs on."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import astuple, dataclass, field
from operator import add
from typing import TYPE_CHECKING

from edge.bundle import Bundle
from edge.clips import Clips
from edge.config import Config
from edge.contract import Accounting, Feedback, Level
from edge.feedback import FeedbackFile
from edge.fusion import ClassModelTable
from edge.health import Components
from edge.messages import Stamp, info, utc
from edge.mqtt import MqttPublisher
from edge.outbox import OutboxError
from edge.remote import RefusedError
from edge.switches import Switches

from .needs import refuse_without_web
from .standing import LEVELS, Card, Media, NodeStanding
from .token import token_of

if TYPE_CHECKING:
    from .serve import Page

SAY_SECONDS = 5.0
STUCK_SECONDS = 5.0
"""Where a source is live and nothing has been judged for so long, the loop hangs."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What the page is told about: the models, who speaks, the media by `node/source`, and where messages go."""

    bundle: Bundle
    stamp: Stamp
    media: Mapping[str, Media]
    clips: Clips
    switches: Switches
    publishers: Sequence[MqttPublisher] = ()
    _began: float = field(default_factory=time.monotonic)
    _components: Components = field(default_factory=Components)

    def look(self, quiet: float) -> NodeStanding:
        """Say how the node is that has judged nothing for `quiet` seconds."""
        outbox: dict[str, Accounting] = {}
        modes = [media.standing().mode for media in self.media.values()]
        self._components.report("process", *self._process(quiet))
        if self.publishers:
            self._components.report("broker", *max((each.link for each in self.publishers), key=_gravity))
            try:
                health = max((each.outbox_health for each in self.publishers), key=_gravity)
                outbox = _summed(each.outbox.accounting() for each in self.publishers if each.outbox)
            except OutboxError as error:
                health = "error", str(error)
            self._components.report("outbox", *health)
        return NodeStanding(
            parts=self._components.known,
            outbox=outbox,
            mode=next((mode for mode in modes if mode != "full"), "reduced" if self.switches.left_out else "full"),
            uptime_seconds=round(time.monotonic() - self._began, 1),
        )

    def _process(self, quiet: float) -> tuple[Level, str]:
        if not self.switches["enabled"]:
            return "ok", "judges nothing, as it was told"
        alive = any(media.standing().live for media in self.media.values())
        if alive and quiet > STUCK_SECONDS:
            return "error", "media come, and nothing is judged"
        return "ok", "judges what comes" if alive else "waits for media"


def open_page(config: Config, device: Device) -> Page:
    """Open the page that is configured; ConfigError where that cannot be."""
    refuse_without_web()
    from .serve import Page, Shop

    token, where = token_of(config.web)
    stamp, fusion = device.stamp, device.bundle.fusion
    page = Page(
        config.web,
        token,
        Shop(
            say=_sayer(config, device),
            info=info(device.bundle, stamp, config.events),
            rows={label: row.modality for label, row in fusion.table.items()}
            if isinstance(fusion, ClassModelTable)
            else {},
            media=device.media,
            look=device.look,
            events=device.clips.earlier(),
            clips=config.web.clips_folder,
        ),
    )
    log.info("the page is at %s; %s", page.address, where)
    return page


def _sayer(config: Config, device: Device) -> Callable[[Feedback, Card], None]:
    """Say what becomes of feedback: published and kept, and the clip placed for retraining; it raises OSError."""
    folder = config.mqtt.folder
    leader = next(iter(device.publishers), None)
    file = FeedbackFile(folder / f"feedback-{device.stamp.node}.jsonl") if folder and leader is None else None
    turn = threading.Lock()

    def say(feedback: Feedback, card: Card) -> None:
        with turn:
            if leader is not None:
                _wait(leader.feedback(feedback))
            elif file is not None:
                file.add(feedback, utc(time.time_ns()))
            device.clips.say(Card(card.event, feedback))

    return say


def _gravity(health: tuple[Level, str]) -> int:
    return LEVELS.index(health[0])


def _summed(accounts: Iterable[dict[str, Accounting]]) -> dict[str, Accounting]:
    total: dict[str, Accounting] = {}
    for account in accounts:
        for kind, one in account.items():
            known = astuple(total.get(kind, Accounting()))
            total[kind] = Accounting(*map(add, known, astuple(one)))
    return total


def _wait(done: Future[None]) -> None:
    try:
        done.result(SAY_SECONDS)
    except (RefusedError, TimeoutError, FutureTimeout) as error:
        raise OSError(str(error) or "the disk does not answer") from None
