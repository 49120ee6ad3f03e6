"""Who trains together, as each platform says it."""

from __future__ import annotations

import json

import pytest

from cloud_train import cluster
from cloud_train.recordings import DataError


def joined(**environment: str) -> dict:
    cluster.join(environment)
    return json.loads(environment.get("TF_CONFIG", "{}"))


def test_sagemaker_names_hosts():
    found = joined(SM_HOSTS='["algo-2", "algo-1"]', SM_CURRENT_HOST="algo-2")
    assert found == {"cluster": {"worker": ["algo-1:2222", "algo-2:2222"]}, "task": {"type": "worker", "index": 1}}
    assert joined(SM_HOSTS='["algo-1"]', SM_CURRENT_HOST="algo-1") == {}, "one host trains alone"


def test_an_indexed_kubernetes_job_knows_its_place():
    found = joined(TOUCHLINE_WORKERS="a:1,b:2", JOB_COMPLETION_INDEX="1")
    assert found["cluster"]["worker"] == ["a:1", "b:2"]
    assert found["task"]["index"] == 1
    with pytest.raises(DataError, match="JOB_COMPLETION_INDEX is '2'; with 2 TOUCHLINE_WORKERS it must be 0 to 1"):
        joined(TOUCHLINE_WORKERS="a:1,b:2", JOB_COMPLETION_INDEX="2")


def test_what_kubeflow_says_stands(monkeypatch: pytest.MonkeyPatch):
    given = cluster.tf_config(["a:1", "b:2"], 1)
    assert joined(TF_CONFIG=given, SM_HOSTS='["x", "y"]', SM_CURRENT_HOST="x") == json.loads(given)
    monkeypatch.setenv("TF_CONFIG", given)
    assert (list(cluster.workers()), cluster.index()) == (["a:1", "b:2"], 1)


def test_a_process_alone_is_its_own_chief(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert (list(cluster.workers()), cluster.index()) == ([], 0)
