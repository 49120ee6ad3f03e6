"""The report as a whole: pages of real trainings in a real browser, their JSON, and runs that are odd."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from planted import Planted
from trained import boosted, network

from cloud_train.__main__ import main
from cloud_train.debugger.report.write import headline, report
from cloud_train.debugger.rules import rule
from cloud_train.debugger.saved import DEBUG, END, RUN
from cloud_train.debugger.trial import Trial

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ALWAYS = {"Summary", "What to do", "Loss and metrics", "Labels", "Rules", "Use of the machine", "Time"}
TREES = {"Feature importance", "SHAP"}
OF_CLASSES = {"Confusion", "Accuracy per class over rounds", "ROC and precision-recall"}
SECTIONS = {
    "binary:logistic": ALWAYS | TREES | OF_CLASSES | {"Certainty and threshold"},
    "multi:softprob": ALWAYS | TREES | OF_CLASSES,
    "reg:squarederror": ALWAYS | TREES | {"Residuals", "Error by label over rounds"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run of each kind of objective."""
    folder = tmp_path_factory.mktemp("runs")
    more = {"multi:softprob": {"num_class": 3}}
    return {name: boosted(folder / name.partition(":")[0], name, **more.get(name, {})) for name in SECTIONS}


@pytest.fixture(scope="module")
def written(runs, tmp_path_factory) -> Callable[[str], tuple[Path, dict, str]]:
    """Give page, figures and what was printed for an objective; each report is written once."""
    folder, cache = tmp_path_factory.mktemp("reports"), {}

    def write(objective: str) -> tuple[Path, dict, str]:
        if objective not in cache:
            page, figures = (folder / f"{runs[objective].name}.{kind}" for kind in ("html", "json"))
            printed = io.StringIO()
            with redirect_stdout(printed):
                assert main(["report", str(runs[objective]), "--out", str(page), "--json", str(figures)]) == 0
            cache[objective] = page, json.loads(figures.read_text()), printed.getvalue()
        return cache[objective]

    return write


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert program, "make test installs chromium"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"], timeout=120_000
        )
        yield opened
        opened.close()


@pytest.mark.parametrize("objective", SECTIONS)
def test_has_every_section_and_says_what_each_picture_shows(objective, written):
    page, found, printed = written(objective)
    assert printed.startswith("The run completed at step 19.\n")
    assert found["sections"].keys() == SECTIONS[objective]
    assert found["run"]["objective"] == objective
    assert found["end"]["status"] == "completed"
    sentences = [line for section in found["sections"].values() for line in section["says"].values()]
    assert len(sentences) == page.read_text().count("<figure>") > 8
    assert [line for line in sentences if not (re.search(r"\d", line) and line.endswith("."))] == []
    assert len(set(sentences)) == len(sentences)


def test_figures_are_those_of_scikit_learn(runs, written):
    from sklearn.metrics import f1_score, roc_auc_score

    trial = Trial(runs["binary:logistic"])
    last = trial.steps("predictions")[-1]
    truth, scores = trial.tensor("labels", last), trial.tensor("predictions", last)
    facts = {heading: section["facts"] for heading, section in written("binary:logistic")[1]["sections"].items()}
    assert facts["ROC and precision-recall"]["signal"]["auc"] == pytest.approx(roc_auc_score(truth, scores))
    assert facts["Confusion"]["macro"]["f1"] == pytest.approx(f1_score(truth, scores > 0.5, average="macro"))
    assert facts["Accuracy per class over rounds"]["signal"]["recall"][-1] == pytest.approx(
        (scores[truth == 1] > 0.5).mean()
    )


def test_the_same_run_without_a_rate_gets_another_report(tmp_path):
    told = {}
    for name, eta in (("learns", 0.3), ("idle", 0.0)):
        trial = Trial(boosted(tmp_path / name, "binary:logistic", rows=300, rounds=5, eta=eta))
        made = report(trial)
        told[name] = made[1].facts["points"]
        assert headline(trial, made)["accuracy"].endswith(" %")
    assert "logloss did not improve at all: eta is 0, so nothing is learnt: set it to 0.1 or 0.2." in told["idle"]
    assert not any("did not improve" in line for line in told["learns"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_opens_in_a_browser_without_network_errors_or_scripts(scheme, written, browser):
    page, asked, complaints = written("binary:logistic")[0], [], []
    tab = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    tab.on("request", lambda request: asked.append(request.url))
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.goto(page.as_uri())
    assert asked == [page.as_uri()]
    assert complaints == []
    assert set(tab.locator("h2").all_inner_texts()) == SECTIONS["binary:logistic"]
    assert tab.locator("script").count() == 0
    assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a telephone need not scroll sideways"
    for svg in tab.locator("figure svg").all():
        box = svg.bounding_box()
        assert box["width"] > 200
        assert box["height"] > 60
        assert svg.get_attribute("aria-label")
    names = tab.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(names) == len(set(names))
    back, ink = (tab.evaluate(f"getComputedStyle(document.querySelector('{which}')).{what}")
                 for which, what in (("html", "backgroundColor"), ("figure svg text", "fill")))  # fmt: skip
    assert back != ink
    assert ink == ("rgb(0, 0, 0)" if scheme == "light" else "rgb(255, 255, 255)")
    tab.close()


def test_prints(written, browser):
    tab = browser.new_page()
    tab.goto(written("multi:softprob")[0].as_uri())
    pdf = tab.pdf(format="A4")
    assert pdf.startswith(b"%PDF")
    assert 2 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14
    tab.close()


def test_a_network(tmp_path):
    trial = Trial(network(tmp_path / "network"))
    facts = {part.section.heading: part.facts for part in report(trial)}
    assert facts.keys() == ALWAYS | {
        "Confusion", "Accuracy per class over steps", "ROC and precision-recall", "Gradients", "Weights over steps",
        "Distribution of weights", "Activations",
    }  # fmt: skip
    assert next(iter(facts["Gradients"])) == "first/bias"
    assert facts["Activations"]["dead"].keys() == {"first"}
    assert {"train steps", "validation", "before the first step"} <= facts["Time"]["breakdown_seconds"].keys()


class TestOddRuns:
    def refused(self, run: Path, capsys) -> str:
        code = main(["report", str(run), "--out", str(run / "report.html")])
        assert not (run / "report.html").exists()
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert code == 2
        return said

    def test_empty(self, tmp_path, capsys):
        assert "holds no debug/run.json" in self.refused(tmp_path, capsys)

    def test_nothing_saved_yet(self, tmp_path, capsys):
        Planted(tmp_path)
        assert "no step was saved there yet" in self.refused(tmp_path, capsys)

    def test_of_another_version(self, tmp_path, capsys):
        run = Planted(tmp_path).losses({"loss": [1.0]}).path
        record = json.loads((run / DEBUG / RUN).read_text()) | {"format": 99}
        (run / DEBUG / RUN).write_text(json.dumps(record))
        assert "format 99" in self.refused(run, capsys)

    def test_half_of_a_step(self, tmp_path, capsys):
        run = Planted(tmp_path).losses({"loss": [1.0, 0.5]}).path
        step = max((run / DEBUG / "steps").iterdir())
        step.write_bytes(step.read_bytes()[:40])
        assert step.name in self.refused(run, capsys)

    def test_still_growing(self, runs, tmp_path):
        run = shutil.copytree(runs["binary:logistic"], tmp_path / "run")
        (run / DEBUG / END).unlink()
        text = report(Trial(run))[0].section.text[0]
        assert "had not ended when this was written: its last saved step is 19" in text

    def test_gone_without_a_word(self, tmp_path):
        run = Planted(tmp_path, pid=2**22 + 1).losses({"loss": [1.0, 0.5]})
        assert report(run.trial)[0].section.text[0].startswith("The job is gone without having said how it ended")

    def test_stopped_and_failed_say_why(self, tmp_path):
        for status, start in (
            ("stopped", "The run was stopped at step 1: Overfit"),
            ("failed", "The run failed at step 1: O"),
        ):
            run = Planted(tmp_path / status).losses({"loss": [1.0, 0.5]}).end(status, "Overfit: too much")
            assert report(run.trial)[0].section.text[0].startswith(start)

    def test_no_numbers(self, tmp_path):
        nan, tensor = float("nan"), np.full((3, 3), np.nan, np.float32)
        run = Planted(tmp_path).losses({"loss": [1.0, nan, nan]}, "train")
        run.put(3, "train", {"gradients": {"gradient/a": tensor}, "weights": {"a": tensor}})
        run.put(4, "train", {"gradients": {"gradient/a": tensor}, "weights": {"a": tensor}}).end()
        points = report(run.trial)[1].facts["points"]
        assert any("loss is no number at times" in point for point in points)
        assert any("No gradient is a number" in point for point in points)

    def test_other_objectives_say_what_is_left_out(self, tmp_path):
        trial = Trial(boosted(tmp_path / "risks", "survival:cox", rows=150, rounds=3))
        assert "Not in this report" in report(trial)[0].section.text[1]


def test_the_rule_writes_the_report_once_the_run_has_ended(runs, tmp_path):
    run = shutil.copytree(runs["binary:logistic"], tmp_path / "run")
    end = (run / DEBUG / END).read_bytes()
    (run / DEBUG / END).unlink()
    assert rule("CreateXgboostReport")(Trial(run)) is None
    assert not (run / "report.html").exists()
    (run / DEBUG / END).write_bytes(end)
    assert rule("CreateXgboostReport")(Trial(run)) is None
    assert (run / "report.html").read_text().startswith("<!doctype html>")
    assert json.loads((run / "report.json").read_text())["run"]["job"] == "binary"
