"""`touchline check`: does this bundle do here what it did where it was made? The first difference is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .bundle import GOLDEN, Bundle, verify_files, verify_models
from .features import features
from .golden import TOLERANCES, Golden, decide
from .manifest import BundleError
from .policy import Policy

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Step:
    """One step of the check; `detail` says what was found, or what differs and by how much."""

    name: str
    ok: bool
    detail: str


def check(path: str | Path) -> Iterator[Step]:
    """Verify a bundle step by step: manifest, files, models, features, scores, fusion, policy.

    A step that fails is the last, since the later ones stand on it.
    """
    bundle: Bundle | None = None
    golden: Golden | None = None

    def manifest() -> str:
        nonlocal bundle
        bundle = Bundle.read(path)
        return f"{bundle.manifest.name} {bundle.manifest.version}, {len(bundle.manifest.labels)} labels"

    def files() -> str:
        nonlocal golden
        assert bundle is not None
        verify_files(bundle)
        if GOLDEN not in bundle.manifest.files:
            msg = f"{GOLDEN}: is not in the bundle, so nothing can be recomputed"
            raise BundleError(msg)
        golden = Golden.from_npz((bundle.path / GOLDEN).read_bytes(), GOLDEN)
        return f"{len(bundle.manifest.files)} files unchanged"

    def models() -> str:
        assert bundle is not None
        verify_models(bundle)
        found = [f"{name}: {spec.backbone}" for name, spec in bundle.manifest.models.items()]
        return ", ".join(found + ["policy"] * (bundle.manifest.policy is not None))

    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        ("manifest", manifest),
        ("files", files),
        ("models", models),
        ("features", lambda: _features(bundle, golden)),
        ("scores", lambda: _scores(bundle, golden)),
        ("fusion", lambda: _fusion(bundle, golden)),
        ("policy", lambda: _policy(bundle, golden)),
    )
    for name, step in steps:
        if bundle is not None and name in _absent(bundle):
            continue
        try:
            yield Step(name, ok=True, detail=step())
        except BundleError as error:
            yield Step(name, ok=False, detail=str(error))
            return


def _absent(bundle: Bundle) -> set[str]:
    """Name the steps that have nothing to look at: classifiers, or the policy."""
    steps = set() if bundle.manifest.models else {"features", "scores", "fusion"}
    return steps if bundle.manifest.policy is not None else steps | {"policy"}


def _features(bundle: Bundle | None, golden: Golden | None) -> str:
    assert bundle is not None
    assert golden is not None
    return _worst(
        _compare(f"{name} features of clip {i}", features(case.clip, bundle.manifest, name), expected, golden, name)
        for i, case in enumerate(golden.cases)
        for name, expected in case.features.items()
    )


def _scores(bundle: Bundle | None, golden: Golden | None) -> str:
    assert bundle is not None
    assert golden is not None
    return compare_scores(bundle, golden)


def compare_scores(bundle: Bundle, golden: Golden, delegate: str = "") -> str:
    """Compare what the models say of the golden clips with what they said; BundleError names what differs."""
    models = {name: bundle.model(name, threads=1, delegate=delegate) for name in bundle.manifest.models}
    return _worst(
        _compare(f"{name} scores of clip {i}", models[name](case.features[name]), expected, golden, "scores")
        for i, case in enumerate(golden.cases)
        for name, expected in case.scores.items()
    )


def _fusion(bundle: Bundle | None, golden: Golden | None) -> str:
    assert bundle is not None
    assert golden is not None
    differences = []
    for i, case in enumerate(golden.cases):
        decision = decide(case.scores, bundle.manifest, bundle.fusion)
        if decision.label != case.label:
            msg = f"clip {i} is fused to {decision.label}, expected {case.label}"
            raise BundleError(msg)
        differences.append(
            _compare(
                f"fused probabilities of clip {i}",
                np.array(decision.probabilities),
                case.fused,
                golden,
                "fused",
            )
        )
    return _worst(iter(differences))


def _policy(bundle: Bundle | None, golden: Golden | None) -> str:
    assert bundle is not None
    assert golden is not None
    if golden.observations is None or golden.policy_scores is None:
        msg = f"{GOLDEN}: holds no observations for the policy"
        raise BundleError(msg)
    policy = Policy(bundle)
    scores = np.array([policy(one[None]).scores for one in golden.observations], np.float32)
    return _worst(iter([_compare("the policy's scores", scores, golden.policy_scores, golden, "policy")]))


def _compare(
    what: str, found: NDArray[Any] | None, expected: NDArray[Any], golden: Golden, tolerance: str
) -> tuple[str, float]:
    if found is None or found.shape != expected.shape:
        msg = f"{what}: shape is {None if found is None else found.shape}, expected {expected.shape}"
        raise BundleError(msg)
    difference = np.abs(found.astype(np.float64) - expected.astype(np.float64))
    largest, mean = float(difference.max()), float(difference.mean())
    largest_allowed, mean_allowed = golden.tolerances.get(tolerance, TOLERANCES[tolerance])
    if not (largest <= largest_allowed and mean <= mean_allowed):
        msg = (
            f"{what} differ by {largest:.3g} at most and {mean:.3g} on average;"
            f" allowed are {largest_allowed:g} and {mean_allowed:g}"
        )
        raise BundleError(msg)
    return what, largest


def _worst(differences: Iterator[tuple[str, float]]) -> str:
    what, largest = max(differences, key=lambda pair: pair[1], default=("nothing to compare", 0.0))
    return f"within tolerance; largest difference {largest:.3g} ({what})" if largest else "equal"
