"""Contact sheets: what recordings look like, many at a glance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TILE, CAPTION = 112, 30
COLUMNS = 8
SIDES = {"train": (120, 120, 120), "validation": (0, 158, 230), "test": (178, 114, 0)}
"""Colours of the bar under a picture, as BGR: grey, orange, blue, which nobody confuses."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """One picture of a sheet: uint8 RGB of any size, two lines under it, and the side whose colour marks it."""

    picture: NDArray[np.uint8]
    caption: tuple[str, str]
    side: str = ""


def thumbnail(looks: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """Give the middle look as a small RGB picture; a spectrogram, low notes at the bottom, as grey levels."""
    look = np.asarray(looks[len(looks) // 2])
    if look.shape[-1] == 1:
        low, high = float(look.min()), float(look.max())
        grey = (255 * (look[::-1, :, 0] - low) / max(high - low, 1e-6)).astype(np.uint8)
        look = np.repeat(grey[:, :, None], 3, axis=2)
    return np.asarray(cv2.resize(look, (TILE, TILE), interpolation=cv2.INTER_AREA), np.uint8)


def sheet(thumbnails: Sequence[Thumbnail]) -> bytes:
    """Lay thumbnails out in rows of eight, as the bytes of a JPEG file."""
    columns = min(COLUMNS, len(thumbnails))
    rows = math.ceil(len(thumbnails) / columns)
    image = np.full((rows * (TILE + CAPTION + 6), columns * (TILE + 6), 3), 255, np.uint8)
    for i, tile in enumerate(thumbnails):
        top, left = (i // columns) * (TILE + CAPTION + 6), (i % columns) * (TILE + 6)
        picture = cv2.resize(tile.picture, (TILE, TILE), interpolation=cv2.INTER_AREA)
        image[top : top + TILE, left : left + TILE] = picture[:, :, ::-1]
        image[top + TILE : top + TILE + 4, left : left + TILE] = SIDES.get(tile.side, (255, 255, 255))
        for line, text in enumerate(tile.caption):
            at = (left + 1, top + TILE + 14 + 11 * line)
            cv2.putText(image, _short(text), at, cv2.FONT_HERSHEY_SIMPLEX, 0.33, (40, 40, 40), 1, cv2.LINE_AA)
    return bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 85])[1])


def _short(text: str, longest: int = 19) -> str:
    ascii_text = text.encode("ascii", "replace").decode()
    return ascii_text if len(ascii_text) <= longest else f"{ascii_text[:8]}..{ascii_text[-9:]}"
