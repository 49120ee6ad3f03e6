"""A picture with the decision drawn in, for people who look."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage

from edge.clip import Second

from .said import time_at

WIDTH = 640


def annotated(frame: Any, second: Second, origin_ns: int) -> CompressedImage:  # noqa: ANN401 - av.VideoFrame
    """Draw the label, and a bar for the probability of each vote, into a picture 640 wide; as JPEG."""
    height = max(1, round(frame.height * WIDTH / frame.width))
    picture = np.ascontiguousarray(frame.reformat(WIDTH, height, "bgr24").to_ndarray())
    shade = picture[: 30 + 22 * (1 + len(second.votes))]
    shade[:] = shade // 3
    _write(picture, f"{second.label} {second.score:.2f}", 24, 0.8)
    rows = [(vote.modality, vote.label, vote.score) for vote in second.votes]
    for k, (name, label, score) in enumerate(rows):
        top = 36 + 22 * k
        cv2.rectangle(picture, (90, top), (90 + round(200 * score), top + 14), (90, 190, 90), -1)
        _write(picture, name, top + 13, 0.5)
        _write(picture, f"{label} {score:.2f}", top + 13, 0.5, 300)
    coded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])[1]
    message = CompressedImage(format="jpeg")
    message.header.stamp = time_at(origin_ns, second.start)
    message.data.frombytes(coded.tobytes())
    return message


def _write(picture: Any, text: str, bottom: int, size: float, left: int = 8) -> None:  # noqa: ANN401 - an array
    cv2.putText(picture, text, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 255), 1, cv2.LINE_AA)
