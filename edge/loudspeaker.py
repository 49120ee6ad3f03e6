"""Where speech goes: a loudspeaker through PyAudio where that is installed, or WAV files in a folder."""

from __future__ import annotations

import contextlib
import re
import threading
from pathlib import Path
from queue import Full, Queue

from .portaudio import DeviceError, find, library, listed
from .quiet import STDERR, quiet
from .voice import Speech

MOST_FILES = 1000
"""Files in a folder; the oldest make room."""
_OURS = re.compile(r"\d{8}T\d{6,9}Z?-.+\.wav")
"""Names that begin with a time: what else somebody keeps in the folder is not ours to remove."""


class SpeakerError(Exception):
    """No way to be heard; the message says what is missing and what would be right."""


class BusyError(SpeakerError):
    """Something else is being said."""


class WavFolder:
    """Writes each speech as a WAV file that appears whole; the oldest beyond `most_files` are removed.

    Names begin with a time, such as 20261123T101542Z-golf; files with other names stay.
    """

    def __init__(self, folder: str | Path, most_files: int = MOST_FILES) -> None:
        self._folder, self._most = Path(folder).expanduser(), most_files
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            msg = f"folder {folder}: cannot be made ({(error.strerror or str(error)).lower()})"
            raise SpeakerError(msg) from None

    def __call__(self, name: str, speech: Speech) -> None:
        """Write `name`.wav; SpeakerError says why it cannot be."""
        try:
            speech.write(self._folder / f"{name}.wav")
            ours = sorted(file for file in self._folder.iterdir() if _OURS.fullmatch(file.name))
            for old in ours[: -self._most]:
                old.unlink(missing_ok=True)
        except OSError as error:
            msg = f"folder {self._folder}: cannot be written ({(error.strerror or str(error)).lower()})"
            raise SpeakerError(msg) from None

    def close(self) -> None:
        """Nothing to finish."""


class Loudspeaker:
    """Plays one speech after another in a thread of its own; what comes while one more waits is left out.

    `device` is the number or a part of the name of an output, or empty for the system's. Raises SpeakerError.
    """

    def __init__(self, device: str = "") -> None:
        try:
            self._pyaudio, self._audio = library(), listed()
        except DeviceError as error:
            msg = f"loudspeaker: {error}; or name a folder for WAV files"
            raise SpeakerError(msg) from None
        self._queue: Queue[Speech | None] = Queue(maxsize=1)
        self.trouble = ""
        try:
            self._index = find(self._audio, "Output", device)
        except DeviceError as error:
            self._audio.terminate()
            msg = f"loudspeaker: {error}; or name a folder for WAV files"
            raise SpeakerError(msg) from None
        self._thread = threading.Thread(target=self._play_all, name="loudspeaker", daemon=True)
        self._thread.start()

    def __call__(self, name: str, speech: Speech) -> None:
        """Play a speech soon; SpeakerError says why one before could not be, or that this one is left out."""
        try:
            self._queue.put_nowait(speech)
        except Full:
            msg = f"{name}: is left out, the loudspeaker still speaks"
            raise BusyError(msg) from None
        if self.trouble:
            raise SpeakerError(self.trouble)

    def close(self) -> None:
        """Finish what is being said, unless the loudspeaker hangs."""
        with contextlib.suppress(Full):
            self._queue.put(None, timeout=10)
        self._thread.join(10)
        self._audio.terminate()

    def _play_all(self) -> None:
        while (speech := self._queue.get()) is not None:
            try:
                self._play(speech)
                self.trouble = ""
            except OSError as error:
                self.trouble = f"loudspeaker: could not play ({error})"

    def _play(self, speech: Speech) -> None:
        with quiet((STDERR,)):
            stream = self._audio.open(
                format=self._pyaudio.paInt16,
                channels=1,
                rate=speech.rate_hz,
                output=True,
                output_device_index=self._index,
            )
        try:
            stream.write(speech.samples.tobytes())
        finally:
            stream.close()
