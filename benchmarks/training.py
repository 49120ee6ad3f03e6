"""Training beside Keras' own way, on the same photographs: time for an epoch, and the share of it spent waiting."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import media
from measure import machine, machine_line, table, write_json

from cloud_train.args import Args
from cloud_train.backend import load_tensorflow
from cloud_train.dataset import Dataset, extract
from cloud_train.presets import manifest_draft
from cloud_train.recordings import find_recordings

CLASSES, EACH = 10, 40


def photographs() -> Path:
    """Give ten class folders of forty JPEGs of 224 pixels, drawn once and kept."""

    def write(folder: Path) -> None:
        for label in range(CLASSES):
            draw = media.Field((224, 224), seed=label)
            (folder / f"class{label}").mkdir(parents=True)
            for i in range(EACH):
                cv2.imwrite(str(folder / f"class{label}" / f"{i:02d}.jpg"), draw(float(i)))

    return media.cached("photographs-224", write)


def ours(images: Path, args: Args, pixels: int) -> dict[str, Any]:
    """Extract the photographs once, then train; the first epoch, which compiles, is left out."""
    from cloud_train.train import fit

    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        dataset, _ = extract(find_recordings(images), manifest_draft(pixels), Path(folder) / "features")
        sides = ["validation" if i % 20 == 0 else "test" if i % 20 == 1 else "train" for i in range(10**4)]
        recordings = tuple(replace(r, side=sides[i]) for i, r in enumerate(dataset.recordings))
        extraction = time.monotonic() - began
        dataset = Dataset(dataset.path, dataset.manifest, recordings)
        run = fit(dataset, "rgb", args, Path(folder) / "run")
        assert run is not None
        epochs = run.history[1:]
        looks = sum(r.side == "train" for r in recordings)
    seconds = statistics.median(epoch.seconds for epoch in epochs)
    return {
        "extraction_seconds": round(extraction, 2),
        "epoch_seconds": round(seconds, 3),
        "looks_a_second": round(looks / seconds, 1),
        "waited_share": round(statistics.median(epoch.waited for epoch in epochs), 4),
    }


def keras_own(images: Path, args: Args, pixels: int) -> dict[str, Any]:
    """Train the same model by image_dataset_from_directory and fit; the first epoch is left out."""
    import keras

    from cloud_train.models import build

    data = keras.utils.image_dataset_from_directory(
        images, image_size=(pixels, pixels), batch_size=args.batch, seed=0, verbose=False,
        validation_split=0.1, subset="training",
    )  # fmt: skip
    looks = sum(len(labels) for _, labels in data)
    model = build(
        "rgb", (pixels, pixels, 3), CLASSES, backbone=args.backbone, alpha=args.alpha, weights=args.weights,
        dense_units=args.dense_units, dropout=args.dropout,
    )  # fmt: skip
    model.compile(keras.optimizers.AdamW(args.learning_rate), "sparse_categorical_crossentropy")
    took: list[float] = []

    def note(*_: object) -> None:
        took.append(time.monotonic())

    watch = keras.callbacks.LambdaCallback(on_epoch_begin=note, on_epoch_end=note)
    model.fit(data.prefetch(2), epochs=args.epochs, verbose=0, callbacks=[watch])
    seconds = statistics.median(end - begin for begin, end in zip(took[2::2], took[3::2], strict=True))
    return {"epoch_seconds": round(seconds, 3), "looks_a_second": round(looks / seconds, 1)}


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python benchmarks/training.py --pixels 96")
    parser.add_argument("--pixels", type=int, default=96, help="side of the pictures (default: 96)")
    parser.add_argument("--epochs", type=int, default=4, help="the first is left out (default: 4)")
    parser.add_argument("--images", help="a folder of class folders of photographs (default: drawn ones)")
    parser.add_argument("--json", metavar="F", help="write the figures to this file")
    arguments = parser.parse_args()
    where, images = machine(), Path(arguments.images) if arguments.images else photographs()
    load_tensorflow()
    args = Args(
        backbone="mobilenet_v2", alpha=0.35, weights="none", head_epochs=0, epochs=arguments.epochs, patience=0,
        learning_rate=1e-3,
    )  # fmt: skip
    keras_found = keras_own(images, args, arguments.pixels)  # first: ours asks TensorFlow to be exact, at a price
    found = {
        "ours": ours(images, args, arguments.pixels),
        "ours, no variation": ours(images, replace(args, augmentation="off"), arguments.pixels),
        "Keras' own": keras_found,
    }
    ratio = found["ours, no variation"]["looks_a_second"] / found["Keras' own"]["looks_a_second"]
    print(f"{machine_line(where)}\n")
    columns = ("extraction_seconds", "epoch_seconds", "looks_a_second", "waited_share")
    print(
        table(
            ["MobileNetV2 0.35", *columns], [[name, *(row.get(c, "") for c in columns)] for name, row in found.items()]
        )
    )
    print(f"\nLooks a second, without variation as Keras has none: {ratio:.2f} times Keras' own")
    write_json(arguments.json, {"machine": where, "pixels": arguments.pixels, **found, "ratio": round(ratio, 3)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
