"""Variation of looks in training that keeps what they show; the generator given decides it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from edge.features import STILL

if TYPE_CHECKING:
    from cv2.typing import MatLike
    from numpy.typing import NDArray

    from edge.clip import Modality

    Look = NDArray[np.float32]

ZOOM, STRETCH = 0.5, 0.25
"""Logarithms: a picture is enlarged by up to 1.65 times, its width to its height by a quarter."""
TURN_DEGREES, SHIFT = 10.0, 0.05
"""Turn, and farthest that an edge moves inwards as a share of its side; what is missing is mirrored."""
COLOUR, TINT = 0.25, 0.05
"""Relative changes of contrast and saturation, and of single colours; brightness by up to 64 * COLOUR levels."""
ERASED = 0.3
"""Share of pictures in which a rectangle is painted over (Zhong et al., "Random Erasing Data Augmentation", 2020)."""
SPEED = 0.2
"""Largest relative change of all displacements in a flow picture."""
GAIN_DB, SHIFT_SECONDS, SHIFT_BANDS = 6.0, 0.12, 3
"""How much sound is made louder and moved; what is missing is silence."""
MASKED_BANDS, MASKED_SECONDS = 12, 0.12
"""Largest bars painted over (Park et al., "SpecAugment", 2019), two each way."""


def augment(x: Look, modality: Modality, rng: np.random.Generator, *, cepstral: bool = False) -> Look:
    """Vary each look of a batch `[n, h, w, c]` of device features, in place, and return it.

    `cepstral` sound is of coefficients, not of bands: it is moved in time and no more.
    """
    vary = {"rgb": _photograph, "flow": _flow, "audio": _cepstrum if cepstral else _sound}[modality]
    for look in x:
        look[:] = vary(look, rng)
    return x


def mild(x: Look, modality: Modality, rng: np.random.Generator) -> Look:
    """Mirror half of the pictures and vary their light, or the loudness of sound: enough for a drawn world."""
    if modality == "audio":
        x += rng.uniform(-GAIN_DB, GAIN_DB, (len(x), 1, 1, 1)).astype(np.float32)
        return x
    mirrored = rng.random(len(x)) < 0.5
    x[mirrored] = x[mirrored, :, ::-1]
    if modality == "flow":
        x[mirrored, :, :, 0] = 2 * STILL - x[mirrored, :, :, 0]  # left is now right
    else:
        x *= rng.uniform(0.8, 1.2, (len(x), 1, 1, 3)).astype(np.float32)
        x += rng.uniform(-15, 15, (len(x), 1, 1, 1)).astype(np.float32)
    return np.clip(x, 0, 255, out=x)


def _photograph(look: Look, rng: np.random.Generator) -> MatLike:
    varied = _recolour(_warp(look, _view(rng, TURN_DEGREES, mirrored=rng.random() < 0.5)), rng)
    if rng.random() < ERASED:
        tall, wide = rng.uniform(0.15, 0.5, 2)
        varied[_rectangle(look.shape[0], look.shape[1], tall, wide, rng)] = rng.integers(0, 256, 3)
    return varied


def _flow(look: Look, rng: np.random.Generator) -> MatLike:
    mirrored = rng.random() < 0.5
    varied = _warp(look, _view(rng, 0.0, mirrored=mirrored))  # a turned picture would need turned displacements
    rest = np.array([STILL, STILL, 0])
    gain = rng.uniform(1 - SPEED, 1 + SPEED) * np.array([-1 if mirrored else 1, 1, 1])  # left is now right
    return cv2.transform(varied, np.c_[np.diag(gain), rest - gain * rest])


def _sound(look: Look, rng: np.random.Generator) -> MatLike:
    bands, frames, _ = look.shape
    floor = float(look.min())
    shift = (rng.uniform(-1, 1, 2) * (SHIFT_SECONDS * frames, SHIFT_BANDS)).round()
    moved = cv2.warpAffine(
        look[:, :, 0], np.c_[np.eye(2), shift], (frames, bands), flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT, borderValue=floor,
    )  # fmt: skip
    for _ in range(2):
        moved[_rectangle(bands, frames, rng.uniform(0, MASKED_BANDS / bands), 1, rng)] = floor
        moved[_rectangle(bands, frames, 1, rng.uniform(0, MASKED_SECONDS), rng)] = floor
    return moved[:, :, None] + np.float32(rng.uniform(-GAIN_DB, GAIN_DB))


def _cepstrum(look: Look, rng: np.random.Generator) -> MatLike:
    shift = round(rng.uniform(-1, 1) * SHIFT_SECONDS * look.shape[1])
    return np.roll(look, shift, axis=1)


def _view(rng: np.random.Generator, turn_degrees: float, *, mirrored: bool) -> NDArray[np.float64]:
    """Draw where in the picture each point comes from: an affine map `[2, 3]` of coordinates from -1 to 1."""
    size = np.exp(rng.uniform(-ZOOM, 0.05))
    stretch = np.exp(rng.uniform(-STRETCH, STRETCH) / 2)
    turn = np.deg2rad(rng.uniform(-turn_degrees, turn_degrees))
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    scale = np.diag([-size * stretch if mirrored else size * stretch, size / stretch])
    return np.c_[rotation @ scale, rng.uniform(-1, 1, 2) * (abs(1 - size) + SHIFT)]


def _warp(look: Look, view: NDArray[np.float64]) -> MatLike:
    height, width = look.shape[:2]
    middle = np.array([width - 1, height - 1]) / 2
    linear = view[:, :2] * middle[:, None] / middle
    matrix = np.c_[linear, view[:, 2] * middle + middle - linear @ middle]
    picture = look.astype(np.uint8)  # which it was on the device; a warp of floats takes twice the time
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(picture, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT_101)


def _recolour(picture: MatLike, rng: np.random.Generator) -> MatLike:
    """Change contrast, colours and brightness at once: a matrix and an offset for each pixel."""
    contrast, saturation = rng.uniform(1 - COLOUR, 1 + COLOUR, 2)
    blend = saturation * np.eye(3) + (1 - saturation) * np.array([0.299, 0.587, 0.114])  # towards its luma
    gains = contrast * (1 + rng.uniform(-TINT, TINT, 3))
    offset = (1 - contrast) * STILL + 64 * rng.uniform(-COLOUR, COLOUR)
    return cv2.transform(picture, np.c_[gains[:, None] * blend, np.full(3, offset)])


def _rectangle(height: int, width: int, tall: float, wide: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Place a rectangle, given by shares of the sides, anywhere within the picture."""
    rows, columns = round(height * tall), round(width * wide)
    top, left = rng.integers(0, (height - rows + 1, width - columns + 1))
    return slice(top, top + rows), slice(left, left + columns)
