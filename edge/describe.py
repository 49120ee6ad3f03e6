"""`touchline info`: a bundle in words."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from .fusion import BoostedTrees, ClassModelTable, Rule

if TYPE_CHECKING:
    from .bundle import Bundle
    from .manifest import PolicySpec


def describe(bundle: Bundle) -> str:
    """Say what a bundle judges, how, how well, and where it comes from."""
    manifest = bundle.manifest
    clip = manifest.clip
    made, commit, data = (str(manifest.provenance.get(k, "unknown")) for k in ("created", "git_commit", "data_sha256"))
    if not manifest.models:
        return f"{_name(bundle)}\n{_policy(manifest.policy)}"
    lines = [
        _name(bundle),
        f"  labels   {len(manifest.labels)}: {', '.join(manifest.labels)}",
        f"  second   {clip.frames_per_second} pictures of {clip.width} x {clip.height}, {clip.sample_rate_hz} Hz sound",
        f"  fusion   {fusion_in_words(bundle.fusion)}; below {manifest.thresholds.unknown:.2f} a second is unknown",
        f"  made     {made} by commit {commit[:12]} from data {data[:12]}",
    ]
    lines += [
        f"  fused    anew from {record['from']}, with {record['seconds']} seconds of {record['data']}"
        for record in manifest.provenance.get("fused_anew", ())
    ]
    lines += [
        f"  finding  of {record['rule']} in {modality}, accepted: {record['message']}"
        for modality, records in manifest.provenance.get("findings", {}).items()
        for record in records
        if record.get("accepted")
    ]
    return "\n".join(lines) + "\n" + _policy(manifest.policy) + "\n" + _models(bundle)


def _name(bundle: Bundle) -> str:
    manifest = bundle.manifest
    return f"{manifest.name} {manifest.version}  (format {manifest.format}, {bundle.sha256[:12]})"


def _policy(policy: PolicySpec | None) -> str:
    """Say what a policy looks at, what it may do and within which limits."""
    if policy is None:
        return ""
    picture, limits = policy.picture, policy.limits
    sees = ", ".join(one.name for one in policy.vector)
    if picture is not None:
        sees = f"a grey picture of {picture.width} x {picture.height}"
    answers = f"one of {len(policy.actions)} actions" if policy.actions else "two velocities"
    return (
        f"  policy   {sees} -> {answers}, every {limits.period_seconds:g} s\n"
        f"  limits   {limits.linear_least_mps:g} to {limits.linear_most_mps:g} m/s,"
        f" at most {limits.angular_most_radps:g} rad/s\n"
    )


def fusion_in_words(fusion: Rule) -> str:
    """Say which modality answers, and for which labels another one does."""
    if isinstance(fusion, BoostedTrees):
        count = len(fusion.trees.root)
        return f"boosted trees {fusion.version}: {count} trees over the product of {', '.join(fusion.ranking)}"
    if not isinstance(fusion, ClassModelTable):
        return "the majority of the modalities"
    default, others = fusion.ranking[0], fusion.ranking[1:]
    called = {name: [label for label, row in fusion.table.items() if row.modality == name] for name in others}
    exceptions = "".join(f"; {name} for {', '.join(labels)}" for name, labels in called.items() if labels)
    return f"class-model table {fusion.version}: {default}{exceptions}"


def _models(bundle: Bundle) -> str:
    """Lay out the models: temperature, accuracy on the test seconds in float and in int8, how often these agree."""
    table = Table("", "backbone", "input", "size", "T", "float", "int8", "agree", "agree where decided", box=None)
    for name, model in bundle.manifest.models.items():
        shape = " x ".join(map(str, model.input.shape[1:]))
        size = (bundle.path / model.file).stat().st_size
        backbone = f"{model.backbone} x {model.alpha:g}"
        table.add_row(
            name,
            backbone,
            f"{shape} {model.input.dtype}",
            f"{size / 1e6:.2f} MB",
            f"{model.temperature:.2f}",
            *_scores(bundle, name),
        )
    table.add_row("fused", "", "", "", "", *_scores(bundle, "fused"))
    buffer = io.StringIO()
    Console(file=buffer, width=110).print(table)
    return buffer.getvalue()


def _scores(bundle: Bundle, name: str) -> tuple[str, ...]:
    metrics = bundle.manifest.metrics.get(name, {})
    keys = ("float_accuracy", "int8_accuracy", "int8_agreement", "int8_agreement_decided")
    return tuple("-" if metrics.get(key) is None else f"{metrics[key]:.3f}" for key in keys)
