"""What a run shows besides its messages: clips of its events, kept before they are announced, and the page."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from .bundle import Bundle
from .clip import Event, Second
from .clips import Clips, kept_clip
from .config import Config
from .contract import KeptClip
from .messages import Media as Links
from .messages import Stamp
from .mqtt import MqttPublisher
from .sinks import Sink
from .switches import Switches
from .web.device import Device, open_page
from .web.standing import Media

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Showing:
    """The sinks of the page and its clips; none where no page is configured."""

    sinks: Sequence[Sink] = ()
    clips: Clips | None = None

    def keep(self, record: Second | Event, media: Media, reached: float) -> Links | None:
        """Write the clip of an event, of media that have come to `reached`; say where it is."""
        if self.clips is None or isinstance(record, Second):
            return None
        return self.clips.keep(record, media, reached)

    def stay(self) -> None:
        """Go on showing what was, until told to end."""
        if self.sinks:
            log.info("the source has ended; the page stays until Ctrl-C")
        while self.sinks:
            time.sleep(3600)


def clip_finder(config: Config) -> Callable[[str], KeptClip | None] | None:
    """Give what finds the clip of an event; None where no clips are kept."""
    return partial(kept_clip, config.web.clips_folder) if config.web.address else None


def show(
    config: Config,
    bundle: Bundle,
    stamp: Stamp,
    switches: Switches,
    *,
    media: Mapping[str, Media],
    sinks: Sequence[Sink],
) -> Showing:
    """Open the page that is configured, if any, for `media` by source; ConfigError where that cannot be.

    Of the publishers among `sinks` the first speaks for the node.
    """
    if not config.web.address:
        return Showing()
    clips = Clips(config.web)
    publishers = [sink for sink in sinks if isinstance(sink, MqttPublisher)]
    named = {f"{stamp.node}/{source}": each for source, each in media.items()}
    page = open_page(config, Device(bundle, stamp, named, clips, switches, publishers))
    return Showing((clips, page), clips)
