"""Any step killed at a random moment and run again gives what it would have given undisturbed."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from cloud_train.dataset import Dataset
from cloud_train.synth import LABELS, write_world
from edge.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TINY = ["--backbone=mobilenet_v2", "--alpha=0.35", "--weights=none", "--head-epochs=1", "--epochs=2", "--batch=4"]
STEPS = {
    "extract": ["extract", "{world}", "--pixels", "32", "--out", "{out}/features"],
    "split": ["split", "{out}/features"],
    "fit": ["fit", "audio", "--data", "{out}/features", *TINY, "--dense-units=16", "--out", "{out}/audio"],
    "fuse": ["fuse", "{out}/audio", "--out", "{out}/fusion.json"],
    "export": ["export", "{out}/audio", "--out", "{out}/bundle", "--name", "tiny"],
}
KILLS = 1


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, recordings_per_class=3, seconds=2.0, seed=0, labels=LABELS[:3])
    return folder


def begin(step: str, world: Path, out: Path) -> subprocess.Popen[bytes]:
    words = [word.format(world=world, out=out) for word in STEPS[step]]
    return subprocess.Popen(
        [sys.executable, "-m", "cloud_train", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    said, _ = process.communicate()
    assert process.returncode == 0, said.decode()


def result(step: str, out: Path) -> object:
    """Give what a step is for: nothing that tells when it was made."""
    if step in ("extract", "split"):
        dataset = Dataset.load(out / "features")
        files = sorted(file for file in (out / "features" / "shards").rglob("*.npy"))
        assert files
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return [(r.id, r.side, r.seconds, r.sha256) for r in dataset.recordings], digests
    if step == "fit":
        record = msgspec.json.decode((out / "audio" / "run.json").read_bytes())
        predictions = hashlib.sha256((out / "audio" / "test.npz").read_bytes()).hexdigest()
        return predictions, record["metrics"], [epoch["loss"] for epoch in record["history"]]
    if step == "fuse":
        return (out / "fusion.json").read_text()
    bundle = Bundle.load(out / "bundle")
    models = {name: bundle.manifest.files[name] for name in ("audio.tflite", "fusion.json", "golden.npz")}
    return models, bundle.manifest.thresholds


def test_every_step_killed_at_random_ends_as_if_undisturbed(world: Path, tmp_path: Path):
    seed = int.from_bytes(os.urandom(4), "big")
    moments = random.Random(seed)
    calm, rough = tmp_path / "calm", tmp_path / "rough"
    for step in STEPS:
        began = time.monotonic()
        finish(begin(step, world, calm))
        took = time.monotonic() - began
        for _ in range(KILLS):
            process = begin(step, world, rough)
            time.sleep(moments.uniform(0.1, 0.95) * took)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        finish(begin(step, world, rough))
        assert result(step, rough) == result(step, calm), f"{step}, seed {seed}"
    assert not [file for file in rough.rglob("*") if "tmp" in file.name]
    assert not [folder for folder in (rough / "features" / "shards").iterdir() if folder.name.startswith(".")]
