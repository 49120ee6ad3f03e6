"""The bundle: written whole, verified by name, and every single corruption caught by `touchline check`."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.__main__ import main
from edge.boosted import Trees
from edge.bundle import DEMO, GOLDEN, MANIFEST, Bundle
from edge.check import check
from edge.fusion import BoostedTrees, write_fusion
from edge.golden import Golden
from edge.manifest import BundleError
from edge.tflite import dequantize, probe, quantize


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy of the shipped bundle, to be spoilt."""
    return Path(shutil.copytree(DEMO, tmp_path / "bundle"))


def edit_manifest(bundle: Path, change: Callable[[dict[str, Any]], object]) -> None:
    raw = json.loads((bundle / MANIFEST).read_text())
    change(raw)
    (bundle / MANIFEST).write_text(json.dumps(raw))


def replace_file(bundle: Path, name: str, data: bytes) -> None:
    """Put other content under a name, with a hash that fits: the forger's corruption."""
    (bundle / name).write_bytes(data)
    edit_manifest(bundle, lambda raw: raw["files"].update({name: hashlib.sha256(data).hexdigest()}))


def flip_byte(bundle: Path) -> None:
    data = bytearray((bundle / "flow.tflite").read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / "flow.tflite").write_bytes(data)


def other_golden(bundle: Path, change: Callable[[Golden], Golden]) -> None:
    replace_file(bundle, GOLDEN, change(Golden.from_npz((bundle / GOLDEN).read_bytes(), GOLDEN)).to_npz())


def shift_features(golden: Golden) -> Golden:
    case = golden.cases[0]
    shifted = {**case.features, "audio": case.features["audio"] + 1}
    return replace(golden, cases=(replace(case, features=shifted), *golden.cases[1:]))


def shift_scores(golden: Golden) -> Golden:
    case = golden.cases[0]
    shifted = {**case.scores, "rgb": np.roll(case.scores["rgb"], 1, axis=1)}
    return replace(golden, cases=(replace(case, scores=shifted), *golden.cases[1:]))


def another_table(bundle: Path) -> None:
    fusion = json.loads((bundle / "fusion.json").read_text())
    fusion["ranking"] = ["flow", "audio", "rgb"]
    fusion["table"] = {}
    replace_file(bundle, "fusion.json", json.dumps(fusion).encode())


def with_trees(bundle: Path, labels: tuple[str, ...] | None = None, data: bytes | None = None) -> None:
    """Fuse by trees that each favour the first label, instead of by the table."""
    labels = labels or Bundle.read(bundle).manifest.labels
    one = np.zeros(1, np.int32)
    trees = Trees(one - 1, np.zeros(1, np.float32), one, one, np.zeros(1, bool), np.full(1, 30, np.float32), one, one)
    replace_file(bundle, "fusion.npz", data or write_fusion(BoostedTrees(trees, labels, ("rgb", "audio", "flow"))))
    edit_manifest(bundle, lambda raw: raw.update(fusion="fusion.npz"))


CORRUPTIONS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "changed byte": (flip_byte, "files", "flow.tflite: has changed"),
    "missing file": (lambda b: (b / "audio.tflite").unlink(), "files", "audio.tflite: cannot be read"),
    "no manifest": (lambda b: (b / MANIFEST).unlink(), "manifest", "manifest.json: cannot be read"),
    "broken manifest": (lambda b: (b / MANIFEST).write_text("{"), "manifest", "manifest.json: not JSON"),
    "newer format": (
        lambda b: edit_manifest(b, lambda raw: raw.update(format=2)),
        "manifest",
        "bundle format 2 is newer than 1",
    ),
    "unknown key": (
        lambda b: edit_manifest(b, lambda raw: raw["clip"].update(widht=3)),
        "manifest",
        "unknown key `clip.widht`; did you mean `clip.width`?",
    ),
    "wrong type": (
        lambda b: edit_manifest(b, lambda raw: raw["clip"].update(width="wide")),
        "manifest",
        "clip.width: expected `int`, got `str`",
    ),
    "wrong shape": (
        lambda b: edit_manifest(b, lambda raw: raw["models"]["rgb"]["input"].update(shape=[1, 96, 96, 3])),
        "models",
        "rgb.tflite: input shape is (1, 64, 64, 3) in the model, (1, 96, 96, 3) in the manifest",
    ),
    "wrong quantization": (
        lambda b: edit_manifest(b, lambda raw: raw["models"]["audio"]["input"].update(zero_point=5)),
        "models",
        "audio.tflite: input zero_point is",
    ),
    "random bytes as model": (
        lambda b: replace_file(b, "rgb.tflite", np.random.default_rng(0).bytes(50_000)),
        "models",
        "rgb.tflite: ",
    ),
    "truncated model": (
        lambda b: replace_file(b, "audio.tflite", (b / "audio.tflite").read_bytes()[:100_000]),
        "models",
        "audio.tflite: ",
    ),
    "another model": (
        lambda b: replace_file(b, "flow.tflite", (b / "rgb.tflite").read_bytes()),
        "scores",
        "flow scores of clip",
    ),
    "other features": (
        lambda b: other_golden(b, shift_features),
        "features",
        "audio features of clip 0 differ by 1 ",
    ),
    "other feature parameters": (
        lambda b: edit_manifest(b, lambda raw: raw["features"]["flow"].update(bound_pixels=30)),
        "features",
        "flow features of clip",
    ),
    "other scores": (lambda b: other_golden(b, shift_scores), "scores", "rgb scores of clip 0 differ by"),
    "another fusion table": (another_table, "fusion", "clip "),
    "unreadable golden": (
        lambda b: replace_file(b, GOLDEN, b"PK\x03\x04 no"),
        "files",
        "golden.npz: not readable",
    ),
    "other temperature": (
        lambda b: edit_manifest(b, lambda raw: raw["models"]["rgb"].update(temperature=3.0)),
        "fusion",
        "fused probabilities of clip",
    ),
    "no temperature": (
        lambda b: edit_manifest(b, lambda raw: raw["models"]["rgb"].update(temperature=0)),
        "manifest",
        "manifest.json: models.rgb.temperature: is 0; it must be above 0 and finite",
    ),
    "temperature in words": (
        lambda b: edit_manifest(b, lambda raw: raw["models"]["rgb"].update(temperature="hot")),
        "manifest",
        "temperature: expected `float`, got `str`",
    ),
    "fusion of another kind": (
        lambda b: edit_manifest(b, lambda raw: raw.update(fusion="fusion.pkl")),
        "manifest",
        "fusion: 'fusion.pkl' is neither a .json nor an .npz file",
    ),
    "trees of other labels": (
        lambda b: with_trees(b, labels=tuple(f"sport{i}" for i in range(25))),
        "manifest",
        "fusion.npz: array `labels`: is not the labels of manifest.json",
    ),
    "trees that are none": (
        lambda b: with_trees(b, data=(b / "fusion.json").read_bytes()),
        "manifest",
        "fusion.npz: not readable as arrays",
    ),
    "another rule": (with_trees, "fusion", "clip "),
    "path out of the bundle": (
        lambda b: edit_manifest(b, lambda raw: raw.update(fusion="../fusion.json")),
        "manifest",
        "leads out of the bundle",
    ),
}


def test_the_shipped_bundle_passes(capsys: pytest.CaptureFixture[str]):
    assert main(["check", str(DEMO)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()] == [
        ["ok", step] for step in ("manifest", "files", "models", "features", "scores", "fusion")
    ]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_check_names_each_single_corruption(name: str, bundle: Path, capsys: pytest.CaptureFixture[str]):
    spoil, step, sentence = CORRUPTIONS[name]
    spoil(bundle)
    assert main(["check", str(bundle)]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split()[:2] == ["FAIL", step]
    assert sentence in last


STRUCTURAL = [name for name, (_, step, _) in CORRUPTIONS.items() if step in ("manifest", "files", "models")]


@pytest.mark.parametrize("name", [name for name in STRUCTURAL if name != "unreadable golden"])
def test_loading_refuses_it_too(name: str, bundle: Path):
    CORRUPTIONS[name][0](bundle)
    with pytest.raises(BundleError):
        Bundle.load(bundle)


def test_a_model_that_kills_its_process_becomes_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Crashing files of that kind are rare, so the child is made to die as one of them makes it."""
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho good.tflite\nkill -SEGV $$\n")
    script.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(script))
    with pytest.raises(BundleError, match=r"^bad.tflite: malformed: loading it killed the interpreter with signal 11$"):
        probe([Path("good.tflite"), Path("bad.tflite")])


def test_mutants_of_a_model_never_kill_this_process(tmp_path: Path):
    original = (DEMO / "rgb.tflite").read_bytes()
    rng = np.random.default_rng(1)
    verdicts = []
    for i in range(8):
        data = bytearray(original)
        for at in rng.integers(0, 4000, 20):
            data[at] = int(rng.integers(256))
        mutant = tmp_path / f"{i}.tflite"
        mutant.write_bytes(data)
        try:
            probe([mutant])
            verdicts.append("loads")
        except BundleError as error:
            verdicts.append(str(error))
    assert len(verdicts) == 8
    assert all(v == "loads" or v.startswith(f"{i}.tflite: ") for i, v in enumerate(verdicts))
    assert any(v != "loads" for v in verdicts)


def test_saved_whole_or_not_at_all(tmp_path: Path):
    shipped = Bundle.load(DEMO)
    files = {name: (DEMO / name).read_bytes() for name in shipped.manifest.files}
    saved = Bundle.save(tmp_path / "b", shipped.manifest, files)
    assert saved.manifest == shipped.manifest
    with pytest.raises(BundleError):
        Bundle.save(tmp_path / "b", shipped.manifest, {**files, "rgb.tflite": b"nonsense"})
    assert Bundle.load(tmp_path / "b").sha256 == saved.sha256, "the older bundle is untouched"
    assert [p.name for p in tmp_path.iterdir()] == ["b"], "nothing half-written is left"


def test_a_folder_that_is_no_bundle_is_not_overwritten(tmp_path: Path):
    (tmp_path / "thesis.txt").write_text("years of work")
    shipped = Bundle.load(DEMO)
    with pytest.raises(BundleError, match="is not a bundle; name another directory"):
        Bundle.save(tmp_path, shipped.manifest, {})
    assert (tmp_path / "thesis.txt").is_file()


def test_quantization_is_the_models_own():
    model = Bundle.load(DEMO).model("rgb")
    pixels = np.arange(256, dtype=np.uint8)
    assert (model.input.scale, model.input.zero_point) == (1.0, -128)
    assert np.array_equal(quantize(pixels, model.input), quantize(pixels.astype(np.float32), model.input))
    assert np.array_equal(dequantize(quantize(pixels, model.input), model.input), pixels)
    with_scale = replace(model.input, scale=0.5, zero_point=3)
    assert quantize(np.array([-1e9, 0.0, 1.3, 1e9]), with_scale).tolist() == [-128, 3, 6, 127]


def test_probabilities_of_each_look():
    bundle = Bundle.load(DEMO)
    looks = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), dtype=np.uint8)
    probabilities = bundle.model("rgb")(looks)
    assert probabilities.shape == (3, len(bundle.manifest.labels))
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("count", [1, 5, 8, 19])
def test_looks_together_are_answered_as_one_by_one(count: int):
    model = Bundle.load(DEMO).model("rgb")
    looks = np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)
    together = model(looks)
    assert np.array_equal(together, np.concatenate([model(look[None]) for look in looks]))


def test_a_model_that_cannot_be_resized_is_asked_one_by_one(monkeypatch: pytest.MonkeyPatch):
    model = Bundle.load(DEMO).model("rgb")
    looks = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
    expected = model(looks)
    fixed = Bundle.load(DEMO).model("rgb")
    resize = fixed._resize

    def refuse(count: int) -> None:
        resize(count)
        if count > 1:
            msg = "the graph holds its batch fixed"
            raise RuntimeError(msg)

    monkeypatch.setattr(fixed, "_resize", refuse)
    assert np.array_equal(fixed(looks), expected)
    assert fixed._batch == 1


def test_check_is_lazy_and_stops_at_the_first_failure(bundle: Path):
    flip_byte(bundle)
    assert [step.ok for step in check(bundle)] == [True, False]


def test_info_says_what_the_bundle_is(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert main(["info", str(DEMO), "--json", str(tmp_path / "m.json")]) == 0
    out = capsys.readouterr().out
    assert "badminton" in out
    assert "class-model table" in out
    assert json.loads((tmp_path / "m.json").read_text())["format"] == 1


def test_no_bundle_there_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["info", str(tmp_path / "none")]) == 1
    expected = "is not a bundle directory; a bundle is a directory with a manifest.json in it"
    assert capsys.readouterr().err == f"touchline: {tmp_path}/none: {expected}\n"
