"""The sound devices of this machine through PyAudio, by number or by a part of the name."""

from __future__ import annotations

import importlib
from typing import Any, Literal

from .quiet import STDERR, quiet


class DeviceError(Exception):
    """No such sound device, or no PyAudio; the message says what there is and what would be right."""


def library() -> Any:  # noqa: ANN401 - PyAudio has no types
    """Import PyAudio, which base installations lack; DeviceError says how it is installed."""
    try:
        return importlib.import_module("pyaudio")
    except ImportError:
        msg = "PyAudio is not installed: apt-get install portaudio19-dev, then pip install 'touchline[audio]'"
        raise DeviceError(msg) from None


def listed() -> Any:  # noqa: ANN401 - PyAudio has no types
    """List the devices that there are now; `terminate()` ends it. ALSA and JACK tell of each they lack: not here."""
    with quiet((STDERR,)):
        return library().PyAudio()


def find(audio: Any, direction: Literal["Input", "Output"], device: str) -> int:  # noqa: ANN401 - PyAudio has no types
    """Find a device by its number or a part of its name, or the system's own for an empty one; DeviceError."""
    found = {
        index: str(info["name"])
        for index in range(audio.get_device_count())
        if (info := audio.get_device_info_by_index(index))[f"max{direction}Channels"] > 0
    }
    if not found:
        msg = f"this machine has no sound {direction.lower()}"
        raise DeviceError(msg)
    if not device:
        own = "defaultInputDevice" if direction == "Input" else "defaultOutputDevice"
        preferred = int(audio.get_default_host_api_info()[own])
        return preferred if preferred in found else min(found)
    for index, name in found.items():
        if device == str(index) or device.lower() in name.lower():
            return index
    msg = f"{device!r} is none of {', '.join(f'{index} ({name})' for index, name in found.items())}"
    raise DeviceError(msg)
