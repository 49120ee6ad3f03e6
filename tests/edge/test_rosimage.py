"""Images of every encoding that is taken become the picture that they hold; the rest is refused in a sentence."""

from __future__ import annotations

from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from edge.rosimage import LAYOUTS, ImageError, compressed_frame, video_frame

WIDTH, HEIGHT = 64, 48
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PICTURE[:, :32], PICTURE[:24, 32:], PICTURE[24:, 32:] = (200, 30, 30), (20, 60, 220), (250, 250, 250)


def image(encoding: str, data: bytes, step: int, **changed) -> SimpleNamespace:
    fields = {"width": WIDTH, "height": HEIGHT, "is_bigendian": 0, **changed}
    return SimpleNamespace(encoding=encoding, data=data, step=step, **fields)


def planes(frame: av.VideoFrame, layout) -> bytes:
    """What a driver would put into data: FFmpeg's planes without their padding."""
    rows = []
    if layout.format == "yuv420p":
        y, u, v = (np.frombuffer(memoryview(p), np.uint8).reshape(-1, p.line_size)[:, : p.width] for p in frame.planes)
        return y.tobytes() + np.stack([v, u], -1).tobytes()
    for k, plane in enumerate(frame.planes):
        width = WIDTH * layout.pixel_bytes * (2 if layout.format == "nv24" and k else 1)
        rows.append(np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, :width].tobytes())
    return b"".join(rows)


@pytest.mark.parametrize("encoding", [name for name in LAYOUTS if not name.startswith("bayer")])
def test_every_encoding_gives_the_picture_that_ffmpeg_sees(encoding):
    layout = LAYOUTS[encoding]
    frame = av.VideoFrame.from_ndarray(PICTURE, "rgb24").reformat(format=layout.format)
    found = video_frame(image(encoding, planes(frame, layout), WIDTH * layout.pixel_bytes))
    assert (found.width, found.height) == (WIDTH, HEIGHT)
    assert np.array_equal(found.to_ndarray(format="rgb24"), frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize(
    ("encoding", "red"), [("bayer_rggb8", (0, 0)), ("bayer_bggr8", (1, 1)), ("bayer_gbrg8", (1, 0))]
)
def test_bayer_pictures_get_their_colours_back(encoding, red):
    mosaic = np.zeros((HEIGHT, WIDTH), np.uint8)
    mosaic[red[0] :: 2, red[1] :: 2] = 200  # only what stands behind the red filter has seen light
    found = video_frame(image(encoding, mosaic.tobytes(), WIDTH)).to_ndarray(format="rgb24")
    middle = found[8:-8, 8:-8].reshape(-1, 3).mean(0)
    assert middle[0] > 150
    assert middle[1:].max() < 10


def test_rows_may_be_padded_and_words_big_endian():
    padded = np.concatenate([PICTURE, np.full((HEIGHT, 5, 3), 77, np.uint8)], axis=1)
    found = video_frame(image("rgb8", padded.tobytes(), (WIDTH + 5) * 3))
    assert np.array_equal(found.to_ndarray(format="rgb24"), PICTURE)
    deep = np.arange(HEIGHT * WIDTH, dtype=">u2").reshape(HEIGHT, WIDTH)
    found = video_frame(image("mono16", deep.tobytes(), 2 * WIDTH, is_bigendian=1))
    assert np.array_equal(found.to_ndarray(), deep)


def test_a_picture_is_a_view_of_the_message():
    data = bytearray(PICTURE.tobytes())
    frame = video_frame(image("rgb8", data, 3 * WIDTH))
    data[0:3] = b"\x01\x02\x03"
    assert frame.to_ndarray()[0, 0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (image("16UC1", b"", 128), "encoding '16UC1' is not taken: it holds distances, not a picture; known are rgb8"),
        (image("cmyk", b"", 128), "encoding 'cmyk' is not taken; known are rgb8"),
        (image("rgb8", b"", 0, width=0, height=0), "an image of 0 x 0 holds no picture"),
        (image("rgb8", bytes(9216), 64), "step is 64; a row of 64 pixels in rgb8 has 192 bytes"),
        (image("bgr8", bytes(9215), 192), "data has 9215 bytes; 48 rows in bgr8 with step 192 have 9216"),
        (image("nv21", bytes(9999), 63, width=63), "nv21 has one colour for 2 x 2 pixels, and 63 x 48 is odd"),
    ],
)
def test_what_cannot_be_a_picture_is_refused_in_a_sentence(message, said):
    with pytest.raises(ImageError, match=said):
        video_frame(message)


@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_compressed_pictures_are_decoded(extension):
    data = cv2.imencode(extension, PICTURE[:, :, ::-1])[1].tobytes()
    found = compressed_frame(SimpleNamespace(data=data, format=extension)).to_ndarray(format="rgb24")
    assert np.abs(found.astype(int) - PICTURE).mean() < (1e-9 if extension == ".png" else 5)
    for bad in (b"", b"no picture"):
        with pytest.raises(ImageError, match="are not a JPEG or PNG picture"):
            compressed_frame(SimpleNamespace(data=bad, format="jpeg"))
