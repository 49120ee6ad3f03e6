"""Make the two example policies by hand, as TFLite bundles: nothing is learnt, a linear controller turns to the target.

    python examples/make_policies.py        (needs the extra `train`)

`follow` looks at the target's bearing; `tracker` at a grey picture in which the target is brighter than the rest. Each
scores the object tracker's five actions: an action that turns at w scores 2 w g - w^2, where g is the turn that the
controller would like, so the nearest to g wins.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from edge.bundle import GOLDEN, Bundle
from edge.fusion import Majority, write_fusion
from edge.golden import TOLERANCES, Golden
from edge.manifest import ClipSpec, Features, Manifest, PictureObservation, PolicySpec, VectorField
from edge.tflite import TfliteModel

HERE = Path(__file__).parent / "policies"
ACTIONS = ((0.1, 0.6), (0.1, -0.6), (0.1, 0.0), (0.1, 0.3), (0.1, -0.3))
"""Of the object tracker, (m/s, rad/s); in its order."""
TURN_PER_RADIAN = 1.5
VIEW_RADIANS = 1.08
"""Horizontal field of view of the tracker's camera (TurtleBot3 Waffle Pi: 62.2 degrees)."""
POOL = 8


def scored(wish_per_input: np.ndarray) -> tf.keras.layers.Dense:
    """Make the layer that scores the actions for a wish that is linear in its input."""
    turns = np.array([turn for _, turn in ACTIONS], np.float32)
    layer = tf.keras.layers.Dense(len(ACTIONS))
    layer.build((None, len(wish_per_input)))
    layer.set_weights([2 * wish_per_input[:, None] * turns[None, :], -(turns**2)])
    return layer


def follow() -> tf.keras.Model:
    """Turn toward the bearing; the range changes nothing."""
    return tf.keras.Sequential([tf.keras.Input((2,)), scored(np.array([TURN_PER_RADIAN, 0.0], np.float32))])


def tracker(picture: PictureObservation) -> tf.keras.Model:
    """Turn toward where the picture is brighter: left is positive, as turning left is."""
    rows, columns = picture.height // POOL, picture.width // POOL
    bearing = np.linspace(VIEW_RADIANS / 2, -VIEW_RADIANS / 2, columns, dtype=np.float32)
    # A target of a tenth of the picture at 255 before black wishes its own bearing.
    wish = np.tile(bearing, rows) * TURN_PER_RADIAN / (25.5 * rows * columns)
    return tf.keras.Sequential(
        [
            tf.keras.Input((picture.height, picture.width, 1)),
            tf.keras.layers.AveragePooling2D(POOL),
            tf.keras.layers.Flatten(),
            scored(wish),
        ]
    )


def save(name: str, model: tf.keras.Model, observations: np.ndarray, **observed: object) -> Bundle:
    """Convert to float TFLite and write the bundle with golden scores from the converted model."""
    path, file = HERE / name, "policy.tflite"
    data = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    scratch = HERE / f".{file}"
    scratch.write_bytes(data)
    converted = TfliteModel(scratch, threads=1)
    scores = converted(observations)
    scratch.unlink()
    spec = PolicySpec(file, converted.input, converted.output, ACTIONS, **observed)  # type: ignore[arg-type]
    clip = replace(ClipSpec(), frames_per_second=0)
    manifest = Manifest((), clip, Features(), name=name, version="1.0.0", policy=spec)
    manifest = replace(manifest, provenance={"made_by": "examples/make_policies.py", "learnt": False})
    golden = Golden((), TOLERANCES, observations, scores)
    files = {file: data, manifest.fusion: write_fusion(Majority()), GOLDEN: golden.to_npz()}
    return Bundle.save(path, manifest, files)


def bright_at(column: int, picture: PictureObservation) -> np.ndarray:
    """Draw the golden picture: a bright square at a column."""
    drawn = np.zeros((1, picture.height, picture.width, 1), np.float32)
    drawn[:, 40:80, max(0, column - 20) : column + 20] = 255
    return drawn


def main() -> None:
    """Make both."""
    HERE.mkdir(exist_ok=True)
    fields = (VectorField("target_bearing_rad"), VectorField("target_range_m", least=0.0))
    bearings = np.array([[-1.0, 2.0], [-0.2, 2.0], [0.0, 2.0], [0.2, 2.0], [1.0, 2.0]], np.float32)
    print(save("follow", follow(), bearings, vector=fields).path)
    picture = PictureObservation()
    drawn = np.concatenate([bright_at(column, picture) for column in (10, 60, 80, 100, 150)])
    print(save("tracker", tracker(picture), drawn, picture=picture).path)


if __name__ == "__main__":
    main()
