"""`touchline-train xgboost`: both examples of the posts, what the hook saves, and tables of every form."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from sklearn.datasets import load_digits, make_classification

from cloud_train.__main__ import main
from cloud_train.boost import train
from cloud_train.debugger.judge import verdicts
from cloud_train.debugger.rules import read_rules
from cloud_train.debugger.saved import Collection
from cloud_train.debugger.trial import Trial
from cloud_train.recordings import DataError
from cloud_train.tabular import Table, held_out, read_table

POSTS = ["max_depth=5", "gamma=4", "min_child_weight=6", "subsample=0.7"]
POSTS_RULES = "LossNotDecreasing:tensor_regex=.*,Overtraining:patience_train=10,patience_validation=20"
ONE_THREAD = {"nthread": 1}


def boost(*arguments: object, code: int = 0) -> int:
    found = main(["xgboost", *map(str, arguments), "--param", "nthread=1"])
    assert found == code
    return found


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Handwritten digits of 8 x 8 pixels, label in column 0, without a header, as the post's CSV is."""
    x, y = load_digits(return_X_y=True)
    path = tmp_path_factory.mktemp("digits") / "digits.csv"
    np.savetxt(path, np.column_stack([y, x]), delimiter=",", fmt="%g")
    return path


@pytest.mark.parametrize(("eta", "status"), [("0", "IssuesFound"), ("0.2", "NoIssuesFound")])
@pytest.mark.parametrize("objective", ["multi:softmax", "reg:squarederror"])
def test_the_posts_digits(digits, tmp_path, capsys, eta, status, objective):  # noqa: PLR0917
    classes = ["--num-class", "10"] if objective.startswith("multi") else []
    params = [word for each in [*POSTS, f"eta={eta}"] for word in ("--param", each)]
    boost(
        digits,
        "--objective",
        objective,
        *classes,
        *params,
        "--rounds",
        30,
        "--rules",
        POSTS_RULES,
        "--out",
        tmp_path / "run",
    )
    said = capsys.readouterr()
    assert said.out == f"LossNotDecreasing {status}\nOvertraining NoIssuesFound\n"
    trial = Trial(tmp_path / "run")
    if eta == "0":
        assert "it has not fallen" in said.err
        assert (trial.end.status, trial.steps()[-1], trial.end.best_step) == ("stopped", 10, 0)
        assert xgb.Booster(model_file=tmp_path / "run/best.ubj").num_boosted_rounds() == 1
    else:
        assert (trial.end.status, trial.steps()[-1]) == ("completed", 29)


@pytest.mark.skipif("TOUCHLINE_TEST_DATA" not in os.environ, reason="TOUCHLINE_TEST_DATA names no folder with MNIST")
def test_the_posts_mnist(tmp_path: Path):
    folder = Path(os.environ["TOUCHLINE_TEST_DATA"]) / "tabular"
    pixels = np.frombuffer(gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:], np.uint8)
    labels = np.frombuffer(gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:], np.uint8)
    x, y = pixels.reshape(10_000, 784)[:2000, ::4].astype(np.float32), labels[:2000].astype(np.float32)
    table = held_out(Table(x, y, tuple(f"f{i}" for i in range(x.shape[1]))), 0.2)
    for eta, status in ((0.0, "IssuesFound"), (0.2, "NoIssuesFound")):
        parameters = {"max_depth": 5, "eta": eta, "gamma": 4, "min_child_weight": 6, "subsample": 0.7, **ONE_THREAD}
        result = train(
            table, tmp_path / str(eta), objective="multi:softmax", rounds=15, num_class=10, parameters=parameters,
            rules=read_rules(POSTS_RULES),
        )  # fmt: skip
        assert result.statuses == {"LossNotDecreasing": status, "Overtraining": "NoIssuesFound"}
        assert bool(result.stopped) == (eta == 0.0)


def higgs(path: Path, rows: int = 1500) -> Path:
    """A table of the challenge's columns, some of its features missing as there."""
    x, y = make_classification(rows, 30, n_informative=8, n_redundant=4, flip_y=0.1, random_state=1)
    x[np.random.default_rng(0).random(rows) < 0.4, 4:7] = -999
    names = [f"{'DER' if i < 13 else 'PRI'}_feature_{i}" for i in range(30)]
    sets = np.random.default_rng(1).choice(list("tbvu"), rows, p=(0.5, 0.3, 0.15, 0.05))
    lines = [",".join(["EventId", *names, "Weight", "Label", "KaggleSet", "KaggleWeight"])]
    for i in range(rows):
        values = ",".join(f"{value:.3f}" for value in x[i])
        lines.append(f"{100_000 + i},{values},0.5,{'s' if y[i] else 'b'},{sets[i]},0.5")
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


@pytest.fixture(scope="module")
def higgs_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The post's example: max_depth 6, eta 0.1, binary:logistic, 100 rounds, and its report."""
    folder = tmp_path_factory.mktemp("higgs")
    table = higgs(folder / "atlas-higgs-challenge-2014-v2.csv.gz")
    boost(
        table, "--objective", "binary:logistic", "--param", "max_depth=6", "--param", "eta=0.1", "--rounds", 100,
        "--rules", "CreateXgboostReport", "--out", folder / "run",
    )  # fmt: skip
    return folder / "run"


def test_the_posts_higgs_boson_writes_the_report(higgs_run: Path):
    trial = Trial(higgs_run)
    assert trial.run.labels == ("b", "s")
    assert trial.run.rows["train"] > trial.run.rows["validation"] > 0
    assert trial.run.rows["train"] + trial.run.rows["validation"] < 1500  # v and u are kept away
    assert (trial.run.predicted, trial.run.objective) == ("validation", "binary:logistic")
    assert trial.steps()[-1] == 99
    assert {v.rule: v.status for v in verdicts(higgs_run)} == {"CreateXgboostReport": "NoIssuesFound"}
    assert "<!doctype html>" in (higgs_run / "report.html").read_text(encoding="utf-8")
    assert json.loads((higgs_run / "report.json").read_text())["run"]["objective"] == "binary:logistic"


def test_what_the_hook_saves_is_what_xgboost_says(higgs_run: Path):
    trial = Trial(higgs_run)
    model = xgb.Booster(model_file=higgs_run / "model.ubj")
    table = read_table(higgs_run.parent / "atlas-higgs-challenge-2014-v2.csv.gz")
    validation = xgb.DMatrix(table.x[table.validation], table.y[table.validation], feature_names=list(table.features))
    assert np.array_equal(trial.tensor("labels", 99), validation.get_label())
    assert np.allclose(trial.tensor("predictions", 99), model.predict(validation), atol=1e-6)
    assert np.allclose(trial.tensor("predictions", 50), model.predict(validation, iteration_range=(0, 51)), atol=1e-6)
    assert trial.steps("predictions") == [*range(0, 100, 10), 99]
    assert trial.steps("train-logloss") == [*range(0, 100, 5), 99]
    assert trial.names("losses") == ["train-logloss", "validation-logloss"]
    gain = trial.tensor("feature_importance/gain", 99)
    scores = model.get_score(importance_type="gain")
    assert gain.sum() == pytest.approx(1)
    assert gain.argmax() == trial.run.features.index(max(scores, key=scores.__getitem__))
    contributions, rows = trial.tensor("full_shap", 99), trial.tensor("shap_rows", 99)
    assert contributions.shape == (len(rows), 31)
    margins = model.predict(xgb.DMatrix(rows, feature_names=list(table.features)), output_margin=True)
    assert np.allclose(contributions.sum(axis=1), margins, atol=1e-3)
    assert np.isnan(rows).any()  # missing stays missing
    assert np.allclose(trial.tensor("average_shap", 99), np.abs(contributions[:, :-1]).mean(axis=0))
    nodes = sum(len(trial.tensor("trees/tree", step)) for step in trial.steps("trees/tree"))
    assert nodes == len(model.trees_to_dataframe())
    assert trial.tensor("trees/tree", 99).max() == 99


def test_no_rule_finds_fault_with_a_healthy_boosting(tmp_path: Path):
    x = np.random.default_rng(0).normal(size=(30_000, 6)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) > 0).astype(np.float32)
    rules = (
        "AllZero,ClassImbalance,Confusion,ExplodingTensor,FeatureImportanceOverweight,LossNotDecreasing,Overfit,"
        "Overtraining,StalledTraining,TreeDepth,UnchangedTensor,WeightUpdateRatio,VanishingGradient,DeadRelu"
    )
    result = train(
        held_out(Table(x, y, tuple(f"f{i}" for i in range(6))), 0.2), tmp_path / "run", objective="binary:logistic",
        rounds=80, parameters={"max_depth": 2, "eta": 0.3, **ONE_THREAD}, rules=read_rules(rules),
    )  # fmt: skip
    assert {name for name, status in result.statuses.items() if status != "NoIssuesFound"} == set(), result.findings


def test_multiclass_shap_and_intervals(digits: Path, tmp_path: Path):
    table = held_out(read_table(digits), 0.2)
    save = {"average_shap": Collection(2), "metrics": Collection(3)}
    train(table, tmp_path, objective="multi:softprob", rounds=5, save=save, parameters={"max_depth": 2, **ONE_THREAD})
    trial = Trial(tmp_path)
    assert trial.steps("average_shap") == [0, 2, 4]
    assert trial.tensor("average_shap", 4).shape == (64, 10)
    assert trial.tensor("full_shap", 4).shape == (len(trial.tensor("shap_rows", 4)), 65, 10)
    assert trial.tensor("predictions", 4).shape == (trial.run.rows["validation"], 10)
    assert (
        len(np.unique(np.concatenate([trial.tensor("trees/tree", step) for step in trial.steps("trees/tree")]))) == 50
    )


def test_tables_of_every_form(tmp_path: Path):
    (tmp_path / "a.csv").write_text("1,0.5,\n0,1.5,2\n")
    plain = read_table(tmp_path / "a.csv")
    assert (plain.features, plain.y.tolist(), np.isnan(plain.x[0, 1])) == (("f0", "f1"), [1, 0], True)
    (tmp_path / "b.tsv").write_text("kind\tlength\ncat\t3\ndog\t4\ncat\t5\n")
    named = read_table(tmp_path / "b.tsv")
    assert (named.features, named.labels, named.y.tolist()) == (("length",), ("cat", "dog"), [0, 1, 0])
    (tmp_path / "c.txt").write_text("1 0:2 3:1\n0 1:1\n")
    assert read_table(tmp_path / "c.txt").x.tolist() == [[2, 0, 0, 1], [0, 1, 0, 0]]


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        ("1,2\n0,x\n", [], "column 'f0' holds what is no number"),
        ("1,2,3\n1,2\n", [], "cannot be read as a table"),
        ("1\n2\n", [], "has one column; the label must be in column 0"),
        ("1,2\n,3\n", [], "row 2 has no label in column 0"),
        ("1,2\n2,3\n", [], "binary:logistic needs labels 0 and 1 in column 0, and there is 2"),
        ("0.5,2\n1,3\n", [], "binary:logistic needs classes 0, 1, ... in column 0, and there is 0.5"),
        ("0,1\n1,2\n", ["--objective", "binary:logistics"], "did you mean binary:logistic?"),
        ("0,1\n3,2\n", ["--objective", "multi:softmax", "--num-class", "3"], "so there are at least 4"),
        ("0,1\n1,2\n", ["--param", "max_depth=deep"], "XGBoost refuses this"),
        ("0,1\n1,2\n", ["--rules", "Overtrainin"], "did you mean Overtraining?"),
        ("0,1\n1,2\n", ["--save", "tree:interval=2"], "no collection 'tree'; did you mean trees?"),
        ("0,1\n1,2\n", ["--webhook", "x"], "must begin with http:// or https://"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path: Path, capsys, content: str, options: list[str], said: str):
    (tmp_path / "t.csv").write_text(content)
    boost(
        tmp_path / "t.csv",
        "--objective",
        "binary:logistic",
        "--rounds",
        2,
        "--hold-out",
        0,
        "--out",
        tmp_path / "run",
        *options,
        code=2,
    )
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def test_a_run_is_not_written_over(tmp_path: Path, capsys):
    (tmp_path / "t.csv").write_text("0,1\n1,2\n" * 20)
    for code in (0, 2):
        boost(tmp_path / "t.csv", "--objective", "binary:logistic", "--rounds", 2, "--out", tmp_path / "run", code=code)
    assert "run/debug: holds a run already" in capsys.readouterr().err
    with pytest.raises(DataError, match="no such file"):
        read_table(tmp_path / "none.csv")
