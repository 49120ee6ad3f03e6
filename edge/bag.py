"""Recordings of ROS as a source, without ROS: MCAP and rosbag2, pictures and sound by their own stamps."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .clip import Packet
from .rosaudio import DATA_STAMPED, STAMPED, AudioError, Resampler, coded_samples, stamped_samples
from .rosimage import ImageError, compressed_frame, video_frame
from .sources import SourceError, SourceNotFoundError, log

if TYPE_CHECKING:
    from rosbags.interfaces import Connection
    from typing_extensions import Self

NANOSECONDS = 1_000_000_000
PICTURES = ("sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage")
SOUNDS = tuple(kind.replace("/", "/msg/") for kind in (STAMPED, DATA_STAMPED))
ABOUT = "audio_common_msgs/msg/AudioInfo"
ENDINGS = (".mcap", ".db3")
MAGIC = b"\x89MCAP0\r\n"
RECORD = struct.Struct("<BQ")
"""How every record begins: what it is, and its length in bytes."""
FOOTER = b"\x02" + struct.pack("<QQQI", 20, 0, 0, 0)
"""An MCAP footer that promises no summary; readers scan the file then."""


def is_bag(url: str) -> bool:
    """Whether an address names a recording of ROS: `.mcap`, `.db3`, or a rosbag2 folder."""
    path = Path(url.partition("#")[0])
    return path.suffix in ENDINGS or (path / "metadata.yaml").is_file() or bool(_parts(path))


class Bag:
    """The pictures and the sound of a recording, as `Source` gives those of a media file.

    Media time 0 is the whole second before the first stamp. Which topics: the only one of its kind, or those named
    after `#`, as in `match.mcap#/camera/image_raw,/audio`. A file whose writer was killed is read up to where it ends.
    """

    def __init__(self, url: str, sample_rate_hz: int, *, video: bool = True, audio: bool = True) -> None:
        self.url, self.duration, self.undecodable = url, None, 0
        name, _, chosen = url.partition("#")
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        try:
            self._reader = self._open(Path(name))
        except SourceError:
            self._tidy()
            raise
        topics = tuple(topic for topic in chosen.split(",") if topic)
        self._video = self._choose("picture", PICTURES, topics) if video else None
        self._audio = self._choose("sound", SOUNDS, topics) if audio else None
        self.video, self.audio = self._video is not None, self._audio is not None
        if not (self.video or self.audio):
            self.close()
            msg = f"{url}: has no topic with pictures or sound that the bundle could judge"
            raise SourceError(msg)
        self._about = next((one for one in self._reader.connections if one.msgtype == ABOUT), None)
        self._types = self._typestore()
        self._resampler = Resampler(sample_rate_hz)
        self._latest_about: Any = None
        self.duration = self._reader.duration / NANOSECONDS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._reader.is_open:
            self._reader.close()
        self._tidy()

    def __iter__(self) -> Iterator[Packet]:
        """Read to the end; SourceError when nothing could be decoded at all."""
        wanted = [one for one in (self._video, self._audio, self._about) if one is not None]
        origin_ns: int | None = None
        for connection, data in self._messages(wanted):
            for stamp_ns, media in self._decode(connection, data):
                if origin_ns is None:
                    origin_ns = stamp_ns - stamp_ns % NANOSECONDS
                yield Packet((stamp_ns - origin_ns) / NANOSECONDS, **media)
        if origin_ns is None:
            msg = f"{self.url}: no picture or sound in it could be decoded"
            raise SourceError(msg)
        if self.undecodable:
            log.warning("%s: %d messages could not be decoded; the rest is used", self.url, self.undecodable)

    def _messages(self, wanted: list[Any]) -> Iterator[tuple[Connection, bytes]]:
        from rosbags.rosbag2 import ReaderError

        try:
            for connection, _, data in self._reader.messages(connections=wanted):
                yield connection, data
        except (ReaderError, ValueError, struct.error) as error:
            log.warning("%s: reading stopped early: %s", self.url, str(error).splitlines()[0])

    def _tidy(self) -> None:
        if self._scratch is not None:
            self._scratch.cleanup()

    def _decode(self, connection: Connection, data: bytes) -> list[tuple[int, dict[str, Any]]]:
        message: Any = self._types.deserialize_cdr(data, connection.msgtype)
        if connection.msgtype == ABOUT:
            self._latest_about = message
            return []
        stamp_ns = message.header.stamp.sec * NANOSECONDS + message.header.stamp.nanosec
        try:
            if connection.msgtype in PICTURES:
                decode = video_frame if connection.msgtype == PICTURES[0] else compressed_frame
                return [(stamp_ns, {"frame": decode(message)})]
            stamped = connection.msgtype == SOUNDS[0]
            rate, samples = stamped_samples(message) if stamped else coded_samples(message, self._latest_about)
        except (ImageError, AudioError) as error:
            if not self.undecodable:
                log.warning("%s: %s: %s", self.url, connection.topic, error)
            self.undecodable += 1
            return []
        return [(at_ns, {"audio": block}) for at_ns, block in self._resampler.push(stamp_ns, rate, samples)]

    def _choose(self, what: str, kinds: tuple[str, ...], topics: tuple[str, ...]) -> Connection | None:
        found = [one for one in self._reader.connections if one.msgtype in kinds]
        named = [one for one in found if one.topic in topics]
        if len(named or found) > 1:
            self.close()
            names = ", ".join(one.topic for one in found)
            msg = f"{self.url}: has several topics with {what}s ({names}); name one, as in {self.url}#{found[0].topic}"
            raise SourceNotFoundError(msg)
        chosen: Connection | None = next(iter(named or found), None)
        return chosen

    def _typestore(self) -> Any:  # noqa: ANN401 - rosbags' Typestore
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore

        store = get_typestore(Stores.ROS2_HUMBLE)
        for one in self._reader.connections:
            if one.msgdef.data and one.msgtype not in store.types:
                store.register(get_types_from_msg(one.msgdef.data, one.msgtype))
        return store

    def _open(self, path: Path) -> Any:  # noqa: ANN401 - rosbags' Reader
        try:
            from rosbags.rosbag2 import Reader, ReaderError
        except ImportError:
            msg = f"{path}: recordings of ROS need the extra ros: pip install touchline[ros]"
            raise SourceNotFoundError(msg) from None
        if not path.exists():
            msg = f"{path}: no such file"
            raise SourceNotFoundError(msg)
        try:
            path = _only(path)
            if path.suffix == ".mcap" and not _ended(path):
                path = self._salvage(path)
            reader = Reader(path)
            reader.open()
        except (ReaderError, OSError, ValueError, struct.error) as error:
            msg = f"{path}: cannot be read as a recording of ROS ({str(error).splitlines()[0]})"
            raise SourceError(msg) from None
        return reader

    def _salvage(self, path: Path) -> Path:
        """Copy the whole records of an MCAP file whose writer was killed, and end them properly."""
        size, end = path.stat().st_size, len(MAGIC)
        self._scratch = tempfile.TemporaryDirectory(prefix="touchline-")
        whole = Path(self._scratch.name) / path.name
        with path.open("rb") as file, whole.open("wb") as copy:
            if file.read(len(MAGIC)) != MAGIC:
                msg = f"{path}: is not an MCAP file"
                raise SourceError(msg)
            copy.write(MAGIC)
            while end + RECORD.size <= size:
                head = file.read(RECORD.size)
                length = RECORD.unpack(head)[1]
                if end + RECORD.size + length > size:
                    break
                copy.write(head + file.read(length))
                end += RECORD.size + length
            copy.write(FOOTER + MAGIC)
        if end == len(MAGIC):
            msg = f"{path}: holds nothing whole"
            raise SourceError(msg)
        log.warning("%s: its writer was killed; %d of %d bytes are whole and used", path, end, size)
        return whole


def _parts(folder: Path) -> list[Path]:
    """List the files of a rosbag2 folder."""
    return sorted(path for path in folder.glob("*") if path.suffix in ENDINGS) if folder.is_dir() else []


def _only(path: Path) -> Path:
    """Name what is to be opened: of a folder that nobody closed, which has no metadata.yaml, its one file."""
    parts = [] if (path / "metadata.yaml").is_file() else _parts(path)
    if len(parts) > 1:
        msg = f"{path}: has no metadata.yaml and several files ({', '.join(one.name for one in parts)}); name one"
        raise SourceNotFoundError(msg)
    return parts[0] if parts else path


def _ended(path: Path) -> bool:
    """Whether an MCAP file was closed by its writer."""
    if path.stat().st_size <= len(MAGIC):
        return False
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC
