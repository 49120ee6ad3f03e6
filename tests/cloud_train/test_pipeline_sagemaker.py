"""The event pipeline with its training in SageMaker, from end to end: the jobs that it creates there really train."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from clouds import IMAGE, ROLE, empty_account, jobs, running_moto
from training_jobs import training

from edge.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TINY = (
    "preset=tiny", "modalities=audio", "epochs=1", "head_epochs=0", "audio_epochs=1", "minimum=0",
    f"image={IMAGE}", f"role={ROLE}", "output=s3://results/match", "spot=true", "max_hours=1", "tags=team=video",
)  # fmt: skip


@pytest.fixture
def aws(monkeypatch, tmp_path):
    with running_moto() as endpoint:
        account = empty_account(endpoint, monkeypatch, tmp_path)
        with training(account, tmp_path / "machines", monkeypatch):
            yield account


def test_the_event_pipeline_trains_in_sagemaker_and_publishes_what_comes_back(aws, tmp_path):
    out = tmp_path / "out"
    settings = [word for one in TINY for word in ("--set", one)]
    command = ["pipeline", "run", "event", "--on", "sagemaker", *settings, "--out", str(out), "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "cloud_train", *command, str(tmp_path / "run.json")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    said = "".join(file.read_text() for file in out.glob("runs/*/log.txt"))
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{said}"
    record = json.loads((tmp_path / "run.json").read_text())
    name = f"{record['id']}-audio"
    assert list(jobs()) == [name]
    assert jobs()[name].enable_managed_spot_training is True
    assert f"{name}: [InProgress]" in said
    assert f"{name}: test accuracy: 0." in said, "what a job says in CloudWatch is said here"
    assert f"{name}: [Completed]" in said
    assert aws.s3.list_objects_v2(Bucket="results", Prefix=f"match/checkpoints/{name}/")["KeyCount"]
    made = Bundle.load(out / "bundle").manifest
    assert list(made.models) == ["audio"]
    assert made.provenance["pipeline_run"] == record["id"]
