"""The formats that phone systems take, by name: an encoding at a sample rate, in a WAV file or raw."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast, get_args

Encoding = Literal["pcm16", "ulaw", "alaw"]
LEAST_RATE_HZ, MOST_RATE_HZ = 8_000, 48_000
_NAME = re.compile(r"(?P<encoding>[a-z0-9]+)-(?P<rate>\d+(?:\.\d+)?)(?P<kilo>k?)(?P<raw>-raw)?")


class FormatError(Exception):
    """No such format; the message says which there are."""


@dataclass(frozen=True)
class Format:
    """One channel of samples: 16 bit little-endian, or 8 bit of G.711; `raw` files hold nothing else."""

    encoding: Encoding
    rate_hz: int
    raw: bool = False

    def __str__(self) -> str:
        return f"{self.encoding}-{self.rate_hz / 1000:g}k{'-raw' if self.raw else ''}"

    @property
    def suffix(self) -> str:
        """How names of files end."""
        return f".{'pcm' if self.encoding == 'pcm16' else self.encoding}" if self.raw else ".wav"

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return 2 if self.encoding == "pcm16" else 1


@dataclass(frozen=True)
class System:
    """What the public documentation of a phone system at `source` asks prompts to be."""

    format: Format
    source: str


FORMATS = (Format("pcm16", 8_000), Format("pcm16", 16_000), Format("ulaw", 8_000), Format("alaw", 8_000))
_ASTERISK = "https://github.com/asterisk/asterisk/blob/master/formats"
_AVAYA = (
    "https://documentation.avaya.com/en-us/home/bundle/call-center-elite/cceliteadministeringr102x/"
    "RecordedAnnouncements_ScreenReference/IntegratedAndExternallyRecordedAnnouncements.html"
)
_CISCO = "https://developer.cisco.com/docs/contact-center-express/about-prompts"
SYSTEMS = {
    "allworx": System(
        Format("ulaw", 8_000, raw=True), "https://www.allworx.com (Server Administrator's Guide 7.6, section 26.4)"
    ),
    "amazon-connect": System(Format("ulaw", 8_000), "https://docs.aws.amazon.com/connect/latest/adminguide/play.html"),
    "asterisk": System(Format("pcm16", 8_000), f"{_ASTERISK}/format_wav.c"),
    "asterisk-alaw": System(Format("alaw", 8_000, raw=True), f"{_ASTERISK}/format_pcm.c"),
    "asterisk-ulaw": System(Format("ulaw", 8_000, raw=True), f"{_ASTERISK}/format_pcm.c"),
    "auerswald": System(
        Format("alaw", 8_000), "https://www.auerswald.de (COMmander 6000, Advanced Information V19, page 874)"
    ),
    "avaya": System(Format("ulaw", 8_000), _AVAYA),
    "avaya-alaw": System(Format("alaw", 8_000), _AVAYA),
    "cisco": System(Format("ulaw", 8_000), _CISCO),
    "cisco-alaw": System(Format("alaw", 8_000), _CISCO),
    "enghouse": System(
        Format("pcm16", 8_000),
        "https://docs.enghouseinteractive.com/enghouseccaas/tenant/designer/2_Overview/How-to-use-audio-files.htm",
    ),
    "genesys": System(
        Format("pcm16", 8_000),
        "https://help.genesys.com/pureconnect/versions/2018r5/mergedProjects/wh_tr/mergedProjects/"
        "wh_tr_media_server/desktop/supported_audio_formats_for_prompt_server.htm",
    ),
    "netsapiens": System(Format("ulaw", 8_000), "http://adminguide.netsapiens.com/nms/audio-files"),
    "portsip": System(
        Format("pcm16", 16_000),
        "https://support.portsip.com/portsip-communications-solution/faq/what-file-format-is-required-for-portsip-pbx-prompt",
    ),
    "yeastar": System(
        Format("pcm16", 8_000),
        "https://help.yeastar.com/en/p-series-cloud-edition/administrator-guide/audio-files-requirements.html",
    ),
}


def format_of(name: str) -> Format:
    """Find a format by its name, a phone system's, or parameters such as `pcm16-22050` or `alaw-8k-raw`."""
    if name in SYSTEMS:
        return SYSTEMS[name].format
    found = _NAME.fullmatch(name)
    if found is None or found["encoding"] not in get_args(Encoding):
        known = ", ".join([*map(str, FORMATS), *SYSTEMS])
        msg = f"format: {name!r} is none of {known}, nor an encoding and a rate such as pcm16-22050 or alaw-8k-raw"
        raise FormatError(msg)
    rate_hz = round(float(found["rate"]) * (1000 if found["kilo"] else 1))
    if not LEAST_RATE_HZ <= rate_hz <= MOST_RATE_HZ:
        msg = f"format: {name!r} must have {LEAST_RATE_HZ} to {MOST_RATE_HZ} samples a second"
        raise FormatError(msg)
    return Format(cast("Encoding", found["encoding"]), rate_hz, raw=found["raw"] is not None)
