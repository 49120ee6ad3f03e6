"""The bundle: the only contract between cloud and device, written and read by one class."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .clip import Modality
from .fusion import BoostedTrees, Rule, read_fusion
from .manifest import BundleError, Manifest, ModelSpec, PolicySpec, TensorSpec
from .strict import StrictError
from .tflite import TfliteModel, probe

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
DEMO = Path(__file__).parent / "bundles" / "demo"
"""The bundle that is shipped: 25 classes of a synthetic world, for trying things out."""


@dataclass(frozen=True)
class Bundle:
    """A verified directory of models: its manifest, its fusion and, by `model`, its classifiers.

    `sha256` is the manifest's, and so, through the hashes in it, the whole bundle's.
    """

    path: Path
    manifest: Manifest
    fusion: Rule
    sha256: str

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Read and verify a bundle: manifest, hashes, models (first in a child process), tensors, fusion.

        BundleError says in one sentence what is wrong and where.
        """
        bundle = cls.read(path)
        verify_files(bundle)
        verify_models(bundle)
        return bundle

    @classmethod
    def read(cls, path: str | Path) -> Bundle:
        """Read manifest and fusion without verifying the files; for `check`, which verifies step by step."""
        path = Path(path)
        if not path.is_dir():
            msg = f"{path}: is not a bundle directory; a bundle is a directory with a {MANIFEST} in it"
            raise BundleError(msg)
        data = _read(path / MANIFEST)
        manifest = Manifest.from_json(data, MANIFEST)
        try:
            fusion = read_fusion(_read(path / manifest.fusion), manifest.fusion)
        except StrictError as error:
            msg = f"{manifest.fusion}: {error}"
            raise BundleError(msg) from None
        if isinstance(fusion, BoostedTrees) and fusion.labels != manifest.labels:
            msg = f"{manifest.fusion}: array `labels`: is not the labels of {MANIFEST}"
            raise BundleError(msg)
        return cls(path, manifest, fusion, hashlib.sha256(data).hexdigest())

    @classmethod
    def save(cls, path: str | Path, manifest: Manifest, files: Mapping[str, bytes]) -> Bundle:
        """Write a bundle whole or not at all, and return it loaded and verified.

        `files` are all files but the manifest; their hashes replace `manifest.files`. An older bundle at `path` is
        replaced; anything else there is left alone and refused with a BundleError.
        """
        path = Path(path)
        if path.exists() and not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
            msg = f"{path}: exists and is not a bundle; name another directory"
            raise BundleError(msg)
        path.parent.mkdir(parents=True, exist_ok=True)
        manifest = replace(manifest, files={name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)})
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as scratch:
            staged = Path(scratch) / "new"
            staged.mkdir(mode=0o755)
            for name, data in {**files, MANIFEST: manifest.to_json()}.items():
                (staged / name).write_bytes(data)
            cls.load(staged)
            if path.exists():
                path.rename(Path(scratch) / "old")
            staged.rename(path)
        return cls.load(path)

    def model(self, modality: Modality, threads: int | None = None, delegate: str = "") -> TfliteModel:
        """Open one modality's classifier: feature tensor in, probabilities `[n, classes]` out."""
        return TfliteModel(self.path / self.manifest.models[modality].file, threads, delegate)


def verify_files(bundle: Bundle) -> None:
    """Compare every file with its hash in the manifest; BundleError names the first that differs or is missing."""
    manifest = bundle.manifest
    needed = {model.file for model in manifest.models.values()} | {manifest.fusion}
    if manifest.policy is not None:
        needed.add(manifest.policy.file)
    for name in sorted(needed - set(manifest.files)):
        msg = f"{MANIFEST}: files has no hash for {name}"
        raise BundleError(msg)
    for name, expected in manifest.files.items():
        found = hashlib.sha256(_read(bundle.path / name)).hexdigest()
        if found != expected:
            msg = f"{name}: has changed: its SHA-256 is {found[:12]}..., the manifest says {expected[:12]}..."
            raise BundleError(msg)


def verify_models(bundle: Bundle) -> None:
    """Load each model in a child process, then compare its tensors with the manifest."""
    specs: dict[str, ModelSpec | PolicySpec] = {f"models.{name}": spec for name, spec in bundle.manifest.models.items()}
    if bundle.manifest.policy is not None:
        specs["policy"] = bundle.manifest.policy
    probe([bundle.path / spec.file for spec in specs.values()])
    for name, spec in specs.items():
        model = TfliteModel(bundle.path / spec.file, threads=1)
        for side, found, expected in (
            ("input", model.input, spec.input),
            ("output", model.output, spec.output),
        ):
            if found != expected:
                msg = f"{spec.file}: {_difference(side, found, expected)} in the manifest ({name}.{side})"
                raise BundleError(msg)


def _difference(side: str, found: TensorSpec, expected: TensorSpec) -> str:
    for field in ("shape", "dtype", "scale", "zero_point"):
        a, b = getattr(found, field), getattr(expected, field)
        if a != b:
            return f"{side} {field} is {a} in the model, {b}"
    return ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path.name}: cannot be read from the bundle {path.parent} ({os.strerror(error.errno or 0).lower()})"
        raise BundleError(msg) from None
