"""The report's sentences and advice say what the data say, and change when these do."""

from __future__ import annotations

import numpy as np
import pytest

from cloud_train.debugger.finding import Finding
from cloud_train.debugger.judge import Verdict
from cloud_train.debugger.report import labels
from cloud_train.debugger.report.confusion import confusion, over_steps
from cloud_train.debugger.report.curves import certainty, curves
from cloud_train.debugger.report.explain import follows, shap, shap_classes
from cloud_train.debugger.report.importance import importance
from cloud_train.debugger.report.loss import Metric, judge, metrics
from cloud_train.debugger.report.machine import breakdown, machine, steps
from cloud_train.debugger.report.network import activity, distributions, gradients, updates
from cloud_train.debugger.report.part import Course, Part, share, size, times
from cloud_train.debugger.report.residuals import binned_errors, by_label, residuals
from cloud_train.debugger.report.rules import rules
from cloud_train.debugger.system import Gpu, Sample, Steps
from cloud_train.debugger.usage import Usage, usage

rng = np.random.default_rng(0)


def said(part: Part, picture: str) -> str:
    return next(p.caption for p in part.section.pictures if p.name == picture)


def course(*values: float) -> Course:
    return Course.of(range(len(values)), values)


def descent(rounds: int, until: int, *, then: float = 0.0) -> Course:
    """Falls from 0.7 to 0.3 until a round, and rises by so much to the last."""
    falling = [0.3 + 0.4 * (1 - i / until) for i in range(until + 1)]
    return course(*falling, *(0.3 + then * (i + 1) / (rounds - until) for i in range(rounds - until)))


class TestLoss:
    def advice(self, train: Course | None, validation: Course | None, **more: str) -> tuple[str, ...]:
        return metrics([Metric("logloss", train, validation)], unit="round", **more).advice

    def test_validation_that_stands_still_is_the_posts_advice(self):
        (line,) = self.advice(descent(100, 99), descent(100, 30))
        assert line == "Validation stopped improving at round 30 of 100: reduce rounds or stop early."

    def test_the_round_is_that_of_the_data(self):
        (line,) = self.advice(descent(100, 99), descent(100, 50))
        assert "at round 49 of 100" in line  # where 98 % of the gain was made

    def test_overfitting(self):
        part = metrics([Metric("logloss", descent(60, 60), descent(60, 20, then=0.2))], unit="round")
        assert "keep the model of round 20" in part.advice[0]
        assert said(part, "metric-0") == (
            "Validation logloss went from 0.7 to 0.3 at round 20, and was 67 % worse by round 60; on the training data"
            " it ended at 0.3, 67 % apart from validation."
        )

    def test_still_improving(self):
        (line,) = self.advice(descent(20, 20), descent(20, 20))
        assert "still improving at the last round, 20" in line

    def test_nothing_learnt_names_the_rate(self):
        (line,) = self.advice(course(*[0.5] * 50), None, hint="eta is 0: set it to 0.2.")
        assert line == "logloss did not improve at all: eta is 0: set it to 0.2."

    def test_no_number(self):
        part = metrics([Metric("loss", course(1.0, 0.5, float("nan"), float("inf")))], unit="step")
        assert "From step 2 on it was no number" in said(part, "metric-0")
        assert "lower the learning rate" in part.advice[0]
        assert said(metrics([Metric("loss", course(float("nan")))], unit="step"), "metric-0").startswith(
            "loss was no number"
        )

    def test_auc_is_better_when_it_is_higher(self):
        assert Metric("auc").sign == -1
        assert judge(course(0.5, 0.9, 0.8), -1).best_step == 1
        assert judge(course(0.5, 0.9, 0.4), 1).best_step == 2


class TestLabels:
    def test_imbalance_of_two_gives_the_weight(self):
        part = labels.classes(np.repeat([0, 1], [3000, 1000]), ["background", "signal"], "train")
        assert said(part, "labels") == (
            "Class background has 75 % of the 4,000 train labels, class signal 25 %: a slight imbalance of 3 to 1."
        )
        assert "scale_pos_weight = 3 " in part.advice[0]
        assert labels.classes(np.repeat([0, 1], [3000, 1000]), "ab", "train", weighted=True).advice == ()

    def test_balance_and_a_class_without_rows(self):
        assert labels.classes(np.repeat([0, 1], [500, 500]), "ab", "train").advice == ()
        assert "No row is of class c" in labels.classes(np.repeat([0, 1], [500, 500]), "abc", "train").advice[0]
        assert "class c" in labels.classes(np.repeat([0, 1, 2], [500, 500, 20]), "abc", "train").advice[0]

    def test_values(self):
        even, skewed = labels.values(rng.normal(size=2000), "train"), labels.values(rng.exponential(size=2000), "train")
        assert "symmetric" in said(even, "labels")
        assert even.advice == ()
        assert "skewed to the right" in said(skewed, "labels")
        assert "logarithm" in skewed.advice[0]


class TestClasses:
    def test_confusion(self):
        truth = np.repeat([0, 1, 2], [50, 30, 20])
        given = truth.copy()
        given[50:62] = 2
        part = confusion(truth, given, ["a", "b", "c"], "validation")
        assert part.facts["confusion"] == [[50, 0, 0], [0, 18, 12], [0, 0, 20]]
        assert part.facts["accuracy"] == 0.88
        assert part.facts["classes"]["b"]["recall"] == 0.6
        assert "most frequent mistake: 12 rows of b taken for c" in said(part, "confusion")
        assert "Many rows of b (0.60) are missed" in part.advice[0]

    def test_nothing_is_confused(self):
        part = confusion(np.array([0, 1]), np.array([0, 1]), ["a", "b"], "validation")
        assert said(part, "confusion") == "All 2 validation rows are given their right class."
        assert part.advice == ()

    def test_a_class_that_is_given_up_late(self):
        up, down = course(0.2, 0.5, 0.8, 0.8), course(0.9, 0.9, 0.9, 0.7)
        part = over_steps({"a": up, "b": down}, "round")
        assert "Recall of b was up to 0.20 higher" in part.advice[0]
        assert "class b, the weakest, went from 0.900 to 0.700" in said(part, "recall-over-steps")
        assert over_steps({"a": up, "b": up}, "round").advice == ()

    def test_curves(self):
        hits = np.repeat([0, 1], 1000)
        good, chance = hits + rng.normal(0, 0.5, 2000), rng.random(2000)
        names = ["a", "b"]
        areas = [curves(hits, np.stack([-s, s], 1), names).facts["b"]["auc"] for s in (good, chance)]
        assert areas[0] > 0.9
        assert abs(areas[1] - 0.5) < 0.05
        assert curves(np.zeros(5, int), np.zeros((5, 2)), names) is None

    def test_the_hardest_of_many_classes_is_named(self):
        truth = rng.integers(0, 8, 4000)
        scores = np.eye(8)[truth] + rng.normal(0, 0.3, (4000, 8))
        scores[:, 5] = rng.random(4000)
        part = curves(truth, scores, [f"class{i}" for i in range(8)])
        assert "class5 worst" in said(part, "roc")

    def test_threshold_and_calibration(self):
        score = rng.random(20_000)
        hits = rng.random(20_000) < score
        part = certainty(hits, score, "signal")
        assert "it can be read as a probability" in said(part, "calibration")
        assert part.facts["calibration_error"] < 0.02
        sure = certainty(hits, np.where(score > 0.5, 0.98, 0.02), "signal")
        assert "the model is too sure" in said(sure, "calibration")
        low = certainty(hits, score / 4, "signal")
        assert low.facts["best_threshold"] < 0.15
        assert low.advice[0].startswith(f"Call a row signal from a score of {low.facts['best_threshold']:.2f} on")


class TestValues:
    def test_residuals(self):
        truth = rng.normal(size=2000)
        fair = residuals(truth, truth + rng.normal(0, 0.1, 2000), "validation")
        assert "no bias" in said(fair, "residuals")
        assert fair.advice == ()
        low = residuals(truth, truth - 1 + rng.normal(0, 0.1, 2000), "validation")
        assert "too low" in said(low, "residuals")
        assert "explains little" in " ".join(residuals(truth, rng.normal(size=2000), "validation").advice)

    def test_error_by_label(self):
        truth = np.linspace(0, 100, 1001)
        errors = np.stack([binned_errors(truth, truth * k) for k in (0.5, 0.9)])
        assert errors[1] == pytest.approx(np.arange(0.5, 10, 1), abs=0.06)
        part = by_label([0, 10], truth, errors, "round")
        assert "Labels from 90 to 100 are off most" in said(part, "error-by-label")
        assert "10 of 10 bins got better since round 0" in said(part, "error-by-label")


class TestFeatures:
    def test_the_bulk_and_what_is_never_used(self):
        gain = np.array([0.0, 8.0, 1.0, 0.9, 0.0001])
        part = importance({"gain": gain, "weight": gain, "total_gain": gain}, list("abcde"))
        assert part.section.text[0].startswith("1 feature of 5 bring")
        assert part.facts["unused"] == ["a"]
        assert "(a, e)" in part.advice[0]
        assert "b (81 %)" in said(part, "importance-gain")

    def test_all_alike(self):
        assert importance({"gain": np.ones(4)}, list("abcd")).advice == ()

    def test_shap_tells_the_direction(self):
        rows = rng.normal(size=(200, 3))
        rows[::5, 0] = np.nan
        values = np.stack([np.nan_to_num(rows[:, 0]), -0.2 * rows[:, 1], 0.05 * rng.normal(size=200)], axis=1)
        says = said(shap(values, rows, ["up", "down", "none"]), "shap")
        assert says.startswith("up moves predictions most")
        assert "up raises them; down lowers them; none acts both ways" in says
        assert follows(np.ones(9), np.arange(9.0)) == 0

    def test_shap_of_classes(self):
        values = np.zeros((50, 2, 3))
        values[:, 1, 2] = 1
        assert "b moves predictions most (100 % of all movement), above all those of class z" in said(
            shap_classes(values, "ab", "xyz"), "shap"
        )


class TestNetwork:
    def test_gradients(self):
        sizes = np.array([[1e-2, 1e-9], [1e-2, 1e-3]])
        part = gradients(["first", "last"], [0, 10], sizes)
        assert "from 1e-09 (first) to 0.001 (last)" in said(part, "gradients")
        assert "Gradients vanish in first" in part.advice[0]
        assert gradients(["first", "last"], [0, 10], np.full((2, 2), 1e-3)).advice == ()
        assert "no numbers" in gradients(["a"], [0, 10], np.array([[1.0, np.nan]])).advice[0]
        assert "No gradient is a number at any" in said(gradients(["a"], [0], np.array([[np.nan]])), "gradients")

    def test_updates(self):
        part = updates(["a", "b"], [10, 20], np.array([[0.1, 0.02], [0, 0]]))
        assert "1 tensor never changed" in said(part, "updates")
        assert "b never changed" in part.advice[0]
        assert "No weight is a number" in updates(["a"], [10], np.array([[np.nan]])).advice[0]

    def test_distributions(self):
        narrow, wide = np.histogram(rng.normal(size=999), 20), np.histogram(3 * rng.normal(size=999), 20)
        part = distributions({"a": (narrow[1], narrow[0], wide[1], wide[0])})
        assert "1 of 1 tensors have become wider" in said(part, "weight-histograms")

    def test_activity(self):
        part = activity({"relu": np.array([0.0, 0.0, 0.5])}, {"tanh": np.array([0.1, 0.2])})
        assert "67 % of the units of relu are dead" in said(part, "activity")
        assert "relu" in part.advice[0]


def used(count: int = 40, *, memory: float = 0.05, cpu: float = 55, gpu: float | None = None, **of) -> Usage:
    gpus = () if gpu is None else (Gpu("A10", gpu, 10**9, 10**10),)
    samples = [
        Sample(
            time=100 + i / 2, cpu_percent=[cpu, cpu], io_wait_percent=0, memory_bytes=int(memory * 1e10),
            memory_total_bytes=10**10, disk_read_bytes_per_second=1e6, disk_write_bytes_per_second=0,
            network_received_bytes_per_second=0, network_sent_bytes_per_second=0, process_cpu_percent=cpu,
            process_memory_bytes=10**8, process_started=90, spent=of.get("spent", {}) if not i else {}, gpus=gpus,
            steps=(Steps("train", i, [of.get("ms", 400.0)]),),
        )
        for i in range(count)
    ]  # fmt: skip
    return usage(samples)


class TestMachine:
    def test_little_memory_is_the_posts_advice(self):
        part = machine(used())
        assert part.advice == ("Memory p95 is 5 %: an instance with less memory will do.",)
        assert said(part, "cpu").startswith("The median use of 2 cores is 55 %, p95 55 %")
        assert machine(used(memory=0.6)).advice == ()
        assert "Median CPU is 20 %" in machine(used(memory=0.6, cpu=20)).advice[0]

    def test_gpus(self):
        part = machine(used(gpu=12, memory=0.6))
        assert "GPU 0 is 12 %, p95 12 %; p95 of its memory 10 %" in said(part, "gpu")
        assert "Median use of GPU 0 is 12 %" in part.advice[0]
        assert machine(used(gpu=90, memory=0.6)).advice == ()

    def test_time(self):
        part = steps(used(spent={"data": 12.0, "saving": 1.0}, ms=100.0))
        found = part.facts["breakdown_seconds"]
        assert found["before the first step"] == pytest.approx(9.9)
        assert found["train steps"] == pytest.approx(4)
        assert sum(found.values()) == pytest.approx(29.5)
        assert "41 % waiting for data" in said(part, "breakdown")
        assert "41 % of the time the model waits for data" in part.advice[0]
        assert not steps(used(spent={"data": 0.5})).advice

    def test_the_slowest_step_is_named(self):
        samples = used()
        samples.steps["train"][1][7] = 2.0
        says = [p.caption for p in steps(samples).section.pictures]
        assert any("the slowest is step 7 with 2 s" in line for line in says)
        assert breakdown(samples)["train steps"] == pytest.approx(17.6)


def test_rules_are_listed_with_what_to_do():
    finding = Finding("LossNotDecreasing", 10, "loss stands at 0.5", "Raise eta.")
    verdicts = [Verdict("Overfit", "NoIssuesFound"), Verdict("LossNotDecreasing", "IssuesFound", finding=finding),
                Verdict("Mine", "Error", error="KeyError: 'x'")]  # fmt: skip
    part = rules(verdicts)
    assert part.section.text == ["1 of 3 rules found something, 1 could not judge."]
    assert [row[0] for row in part.section.tables[0].rows] == ["LossNotDecreasing", "Mine", "Overfit"]
    assert part.advice == ("LossNotDecreasing: loss stands at 0.5. Raise eta.",)
    assert "No rule was asked" in rules([]).section.text[0]


def test_how_numbers_are_written():
    assert [share(x) for x in (0, 0.004, 0.0994, 0.0995, 0.5)] == ["0 %", "0.4 %", "9.9 %", "10 %", "50 %"]
    assert [times(x) for x in (0.0123, 5, 119, 150, 9000)] == ["12.3 ms", "5 s", "119 s", "2 min 30 s", "2 h 30 min"]
    assert [size(x) for x in (12, 1234, 25.3e9)] == ["12 B", "1.23 kB", "25.3 GB"]
