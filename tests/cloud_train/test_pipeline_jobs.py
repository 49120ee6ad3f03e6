"""Jobs live as SageMaker lets them: folders, failures, stops, restarts, hangs; and waiting stops what is left."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from brokers import until

from cloud_train import stop
from cloud_train.pipelines.jobs.cluster import missing
from cloud_train.pipelines.jobs.folders import FolderJobs, read_status
from cloud_train.pipelines.jobs.local import JOBS_FOLDER, local_jobs
from cloud_train.pipelines.jobs.spec import ENDS, JobSpec
from cloud_train.pipelines.jobs.wait import wait
from cloud_train.pipelines.step import code_sha256
from cloud_train.recordings import DataError, TrainingError


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    monkeypatch.setenv(JOBS_FOLDER, str(tmp_path / "jobs"))
    monkeypatch.setenv("TOUCHLINE_GRACE_SECONDS", "1.5")
    made = local_jobs()
    yield made
    for name in made.names(""):
        made.stop(name)
    assert until(lambda: all(made.describe(name).status in ENDS for name in made.names("")), 20)


def python(code: str, name: str = "job", **more) -> JobSpec:
    """A job that runs some code, after `import os, pathlib, signal, sys, time`."""
    return JobSpec(name, (), program=("-c", f"import os, pathlib, signal, sys, time\n{code}"), **more)


def ended(jobs: FolderJobs, name: str = "job"):
    assert until(lambda: jobs.describe(name).status in ENDS, 30)
    return jobs.describe(name)


def test_a_job_finds_a_container_and_leaves_its_model(jobs, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("hello")
    code = """
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
assert os.environ["SM_CURRENT_HOST"] == "algo-1" and os.environ["OWN"] == "1"
text = (base / "input" / "data" / "training" / "a.txt").read_text()
assert text == pathlib.Path(os.environ["SM_CHANNEL_TRAINING"], "a.txt").read_text()
pathlib.Path(os.environ["SM_MODEL_DIR"], "model").write_text(text)
print("trained", flush=True)
"""
    assert jobs.start(python(code, channel=str(tmp_path / "data"), environment={"OWN": "1"})) == "job"
    assert ended(jobs).status == "Completed", jobs.log("job", None)
    jobs.fetch("job", str(tmp_path / "model"))
    assert (tmp_path / "model" / "model").read_text() == "hello"
    lines, seen = jobs.log("job", None)
    assert lines == ["trained"]
    assert jobs.log("job", seen) == ([], seen)
    assert jobs.start(python("raise SystemExit(9)")) == "job", "what is completed is not done again"
    assert jobs.describe("job").status == "Completed"
    assert (jobs.names("jo"), jobs.names("x")) == (["job"], [])


def test_a_job_that_says_why_it_failed_is_not_started_again(jobs):
    code = 'pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "output", "failure").write_text("no data"); sys.exit(1)'
    jobs.start(python(code, restarts=3))
    assert (ended(jobs).status, jobs.describe("job").restarts, jobs.describe("job").reason) == ("Failed", 0, "no data")


def test_a_job_that_dies_is_started_again_in_its_checkpoints_within_its_budget(jobs):
    code = """
file = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "times")
times = int(file.read_text()) if file.exists() else 0
file.write_text(str(times + 1))
os.kill(os.getpid(), signal.SIGKILL) if times < int(sys.argv[1]) else None
"""
    jobs.start(replace(python(code, restarts=2), command=("2",)))
    assert (ended(jobs).status, jobs.describe("job").restarts) == ("Completed", 2)
    jobs.start(replace(python(code, "worse", restarts=2), command=("9",)))
    found = ended(jobs, "worse")
    assert (found.status, found.reason) == ("Failed", "worse died (SIGKILL), after 2 restarts")


def test_a_job_that_hangs_is_killed_and_started_again(jobs):
    code = """
file = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"], "checkpoints", "once")
if not file.exists():
    file.touch()
    os.kill(os.getpid(), signal.SIGSTOP)
"""
    jobs.start(python(code, restarts=1, hang_seconds=1.0))
    assert (ended(jobs).status, jobs.describe("job").restarts) == ("Completed", 1)
    assert "hangs: it said nothing for 1 s; it is started again (1 of 1)" in "\n".join(jobs.log("job", None)[0])


@pytest.mark.parametrize(("handler", "seconds"), [("lambda *_: sys.exit(0)", 1.0), ("signal.SIG_IGN", 4.0)])
def test_a_job_that_is_stopped_gets_sigterm_and_then_sigkill(jobs, handler, seconds):
    jobs.start(python(f"signal.signal(signal.SIGTERM, {handler}); print('up', flush=True); time.sleep(60)"))
    assert until(lambda: jobs.log("job", None)[0] == ["up"], 20)
    began = time.monotonic()
    jobs.stop("job")
    found = ended(jobs)
    assert (found.status, found.reason) == ("Stopped", "")
    assert (time.monotonic() - began > 1.2) == (seconds > 2)
    jobs.stop("job")
    assert jobs.describe("job").status == "Stopped"


def test_a_job_whose_time_is_over_is_stopped(jobs):
    jobs.start(python("time.sleep(60)", max_seconds=1.0))
    assert (ended(jobs).status, jobs.describe("job").reason) == ("Stopped", "its time was over")


def test_a_job_whose_supervisor_is_killed_has_failed_and_may_be_started_again(jobs):
    jobs.start(python("time.sleep(60)"))
    assert until(lambda: read_status(jobs.folder / "job").process, 20)
    status = read_status(jobs.folder / "job")
    os.kill(status.supervisor, signal.SIGKILL)
    assert until(lambda: jobs.describe("job").status == "Failed", 10)
    assert jobs.describe("job").reason == "its supervisor was killed"
    assert until(lambda: not psutil.pid_exists(status.process) or _zombie(status.process), 10)
    jobs.start(python("pass"))
    assert ended(jobs).status == "Completed"


def _zombie(process: int) -> bool:
    return psutil.Process(process).status() == psutil.STATUS_ZOMBIE


def test_a_subcommand_in_a_container_says_why_it_failed(jobs, tmp_path):
    jobs.start(JobSpec("bad", ("split", "{data}"), channel=str(tmp_path), restarts=2))
    found = ended(jobs, "bad")
    assert (found.status, found.restarts) == ("Failed", 0)
    assert "holds no extracted features (features.json)" in found.reason


def test_a_failed_job_stops_its_siblings(jobs):
    jobs.start(python("time.sleep(1); print('bad luck', flush=True); sys.exit(3)", "bad"))
    jobs.start(python("time.sleep(60)", "good"))
    with pytest.raises(TrainingError, match=r"job bad failed: bad died \(exit code 3\)"):
        wait(["local:good", "local:bad"], cloud={})
    assert jobs.describe("good").status == "Stopped"


def test_waiting_ends_with_those_that_count_and_lets_helpers_fail(jobs, capsys):
    jobs.start(python("sys.exit(3)", "helper"))
    jobs.start(python("print('learnt', flush=True); time.sleep(1.5)", "learner"))
    found = wait(["local:learner"], ["local:helper"], cloud={})
    assert {name: one.status for name, one in found.items()} == {
        "local:learner": "Completed", "local:helper": "Failed",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "learner: learnt\n" in said
    assert "helper: [Failed: helper died (exit code 3)]\n" in said


def test_waiting_that_is_to_stop_stops_the_jobs(jobs, monkeypatch):
    jobs.start(python("time.sleep(60)"))
    monkeypatch.setattr(stop, "requested", lambda: True)
    with pytest.raises(stop.Stopped, match="with its jobs"):
        wait(["local:job"], cloud={})
    assert jobs.describe("job").status == "Stopped"


def test_a_node_says_what_it_lacks(tmp_path):
    marker = tmp_path / "marker"
    assert missing(str(marker), code_sha256()).startswith(f"does not see {tmp_path}; storage must be a folder that")
    marker.touch()
    assert missing(str(marker), code_sha256()) == ""
    assert missing(str(marker), "other").startswith("has other code of Touchline than this machine")


def test_jobs_and_providers_that_are_not_there_are_named(jobs):
    with pytest.raises(DataError, match="job 'nobody' is not known in"):
        jobs.describe("nobody")
    with pytest.raises(DataError, match="provider 'moon' is not known; known are local, ray, sagemaker"):
        wait(["moon:job"], cloud={})
    assert Path(jobs.folder).name == "jobs"
