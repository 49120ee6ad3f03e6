"""The report of a run as one page that needs nothing else, and as JSON beside it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import msgspec

from cloud_train.atomic import write_atomically
from cloud_train.debugger.finding import Finding
from cloud_train.debugger.judge import verdicts
from cloud_train.debugger.trial import Trial
from cloud_train.page import Section, page
from cloud_train.recordings import DataError

from .build import parts, unit
from .part import Part, number
from .summary import summary

FORMAT = 1
OTHER_SECTIONS = {
    "Loss and metrics": "loss and metrics",
    "Labels": "labels and predictions",
    "Use of the machine": "use of the machine",
}
BY_FRAMEWORK = {
    "xgboost": {"Feature importance": "feature importance", "SHAP": "SHAP values"},
    "keras": {"Gradients": "gradients", "Distribution of weights": "weights"},
    "other": {},
}


def write_report(trial: Trial, out: Path, json: Path | None = None) -> list[Part]:
    """Write the page and, where asked for, all of its figures as JSON; return the sections, the summary first."""
    made = report(trial)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, to_page(trial, made).encode())
    if json is not None:
        json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(json, to_json(trial, made))
    return made


def report(trial: Trial) -> list[Part]:
    """Make all sections: the summary, then what to do, then one for each subject."""
    found = parts(trial)
    there = {part.section.heading for part in found}
    wanted = OTHER_SECTIONS | BY_FRAMEWORK[trial.run.framework]
    missing = [what for heading, what in wanted.items() if heading not in there]
    return [summary(trial, headline(trial, found), missing), _todo(found), *found]


def _todo(found: list[Part]) -> Part:
    """Gather what to do, the rules' findings first."""
    order = sorted(found, key=lambda part: part.section.heading != "Rules")
    points = list(dict.fromkeys(line for part in order for line in part.advice))
    text = [] if points else ["Nothing stands out."]
    return Part(Section("What to do", text, points=points), (), {"points": points})


def headline(trial: Trial, found: list[Part]) -> dict[str, str]:
    """Pick the figures that matter most."""
    facts = {part.section.heading: part.facts for part in found}
    shown: dict[str, str] = {}
    for name, sides in list(facts.get("Loss and metrics", {}).items())[:1]:
        side = "validation" if sides["validation"] else "train"
        if judged := sides[side]:
            shown[f"best {side} {name}"] = f"{number(judged['best'])} at {unit(trial)} {judged['best_step']}"
    if "Confusion" in facts:
        shown["accuracy"] = f"{facts['Confusion']['accuracy']:.1%}"
        shown["macro F1"] = f"{facts['Confusion']['macro']['f1']:.3f}"
    areas = [curve["auc"] for curve in facts.get("ROC and precision-recall", {}).values()]
    if areas:
        shown["area under ROC" if len(areas) == 1 else "mean area under ROC"] = f"{sum(areas) / len(areas):.4f}"
    if "Residuals" in facts:
        shown["mean absolute error"] = number(facts["Residuals"]["mean absolute error"])
        shown["R²"] = f"{facts['Residuals']['R²']:.3f}"
    return shown


def to_page(trial: Trial, made: list[Part]) -> str:
    """Lay the sections out as HTML."""
    return page(f"Training report of {trial.run.job}", [part.section for part in made])


def to_json(trial: Trial, made: list[Part]) -> bytes:
    """Give the run, its end, the rules' verdicts, what to do, and each section's sentences and figures as JSON."""
    sections = {
        part.section.heading: {
            "text": list(part.section.text),
            "says": {picture.name: picture.caption for picture in part.section.pictures},
            "facts": part.facts,
        }
        for part in made
    }
    content: dict[str, Any] = {
        "format": FORMAT,
        "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "run": trial.run,
        "end": trial.end,
        "rules": verdicts(trial.path),
        "what_to_do": made[1].facts["points"],
        "sections": sections,
    }
    return msgspec.json.format(msgspec.json.encode(content, enc_hook=str), indent=1) + b"\n"


def create_xgboost_report(trial: Trial, *, out: str = "") -> Finding | None:
    """Write report.html and report.json into the run, or the folder `out`, once it has ended; it finds nothing."""
    if trial.end is None:
        return None
    if trial.run.framework != "xgboost":
        msg = f"{trial.path}: CreateXgboostReport is for XGBoost; touchline-train report RUN --out F.html for others"
        raise DataError(msg)
    if not out and str(trial.path).startswith("s3://"):
        msg = f"{trial.path}: lies on S3; say where the report goes: CreateXgboostReport:out=FOLDER"
        raise DataError(msg)
    folder = Path(out or trial.path)
    write_report(trial, folder / "report.html", folder / "report.json")
    return None
