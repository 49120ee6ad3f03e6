"""One Clip in, one Second out."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

from .clip import MODALITIES, UNKNOWN, Clip, Modality, Second, Vote
from .delegate import usable
from .features import features
from .fusion import vote
from .manifest import BundleError

if TYPE_CHECKING:
    from .bundle import Bundle


class Pipeline:
    """The bundle's models, features and fusion as one callable.

    BundleError if it has no models. `threads` are given to each interpreter; by default one for a small model, else the
    cores at hand, at most 4. `delegate` names a library that may run them instead of the CPU, if it does that right.
    """

    def __init__(self, bundle: Bundle, threads: int | None = None, delegate: str = "") -> None:
        if not bundle.manifest.models:
            msg = f"{bundle.path}: the bundle holds a policy and no classifiers; name a bundle that has some"
            raise BundleError(msg)
        self._manifest = bundle.manifest
        delegate = delegate and usable(delegate, bundle)
        names = [name for name in MODALITIES if name in bundle.manifest.models]
        self.models = {name: bundle.model(name, threads, delegate) for name in names}
        self._fusion = bundle.fusion

    def __call__(self, clip: Clip, without: Collection[Modality] = ()) -> Second | None:
        """Decide what a clip shows; None when it holds nothing that the bundle's models, but those `without`, judge."""
        began = time.perf_counter()
        votes = self.votes(clip, without)
        if not votes:
            return None
        decision = self._fusion(votes)
        known = decision.score >= self._manifest.thresholds.unknown
        return Second(
            start=clip.start,
            label=decision.label if known else UNKNOWN,
            class_index=self._manifest.labels.index(decision.label) if known else -1,
            score=decision.score,
            probabilities=decision.probabilities,
            votes=votes,
            winner=decision.winner,
            row=decision.row,
            rule=self._fusion.rule,
            latency_ms=1000 * (time.perf_counter() - began),
            faults=clip.faults,
            av_offset_ms=clip.av_offset_ms,
            av_uncertainty_ms=clip.av_uncertainty_ms,
        )

    def votes(self, clip: Clip, without: Collection[Modality] = ()) -> tuple[Vote, ...]:
        """Ask each model that the clip has media for, but those `without`."""
        votes = []
        for name, model in self.models.items():
            tensor = None if name in without else features(clip, self._manifest, name)
            if tensor is not None:
                temperature = self._manifest.models[name].temperature
                votes.append(vote(name, model(tensor), self._manifest.labels, temperature))
        return tuple(votes)
