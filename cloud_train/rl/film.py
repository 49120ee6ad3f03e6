"""An episode as a film: what happens in the simulator, ten pictures a second."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cloud_train.recordings import DataError

from .baselines import Act
from .simulations import Episode, Tally
from .tasks import Watched

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_SECOND = 10
"""As many as the tasks have steps a second: a film runs as fast as the robot does."""
GIF_EACH, GIF_SCALE, GIF_COLOURS = 2, 2, 32
"""A GIF gets every second picture at half the size: it has no compression to speak of."""


def frames(
    env: Watched, act: Act, seed: int, draw: Callable[[Any], NDArray[np.uint8]], ended: list[Episode]
) -> Iterator[NDArray[np.uint8]]:
    """Play the episode of a seed and give a picture, RGB `[h, w, 3]`, of each step; it is put into `ended`."""
    observation, _ = env.reset(seed=seed)
    tally = Tally()
    over = False
    while not over:
        yield draw(env.unwrapped)
        observation, reward, terminated, truncated, info = env.step(act(observation))
        tally.push(float(reward), success=bool(info.get("success", False)))
        over = terminated or truncated
    ended.append(tally.end(cut_off=not terminated))
    yield draw(env.unwrapped)


def write_film(pictures: Iterable[NDArray[np.uint8]], out: Path) -> None:
    """Write pictures as .mp4 (H.264) or .gif, whole or not at all; DataError for any other ending."""
    writers = {".mp4": _write_mp4, ".gif": _write_gif}
    if out.suffix not in writers:
        msg = f"{out}: a film is an .mp4 or a .gif"
        raise DataError(msg)
    scratch = out.with_name(f".{out.stem}.part{out.suffix}")
    try:
        writers[out.suffix](pictures, scratch)
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)


def _write_mp4(pictures: Iterable[NDArray[np.uint8]], path: Path) -> None:
    import av

    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream: Any = container.add_stream("libx264", rate=Fraction(PER_SECOND), options={"crf": "20"})
        stream.pix_fmt = "yuv420p"
        for k, picture in enumerate(pictures):
            if k == 0:
                stream.height, stream.width = picture.shape[:2]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode())


def _write_gif(pictures: Iterable[NDArray[np.uint8]], path: Path) -> None:
    from PIL import Image

    kept = [
        Image.fromarray(picture).reduce(GIF_SCALE).quantize(GIF_COLOURS, dither=Image.Dither.NONE)
        for k, picture in enumerate(pictures)
        if k % GIF_EACH == 0
    ]
    kept[0].save(
        path, save_all=True, append_images=kept[1:], duration=1000 * GIF_EACH // PER_SECOND, loop=0, optimize=True
    )
