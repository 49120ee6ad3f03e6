"""Jobs of pipelines on a Ray cluster of two nodes on loopback, which lose jobs, and one of them itself."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from brokers import until

from cloud_train.__main__ import main
from cloud_train.pipelines.jobs.folders import read_status
from cloud_train.pipelines.jobs.local import alive
from cloud_train.pipelines.jobs.ray import NAMESPACE, ray_jobs
from cloud_train.pipelines.jobs.spec import ENDS, JobSpec
from edge.bundle import Bundle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]  # Ray gives many

HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4")
QUICK = {"health_check_initial_delay_ms": 500, "health_check_period_ms": 500, "health_check_failure_threshold": 4}
"""How soon a cluster sees that a node is lost; by default it is half a minute."""


@pytest.fixture(scope="module")
def cluster():
    """Two nodes, each with an address of its own, of four processors and the second of a GPU, as they say."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    bare = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
    made.add_node(num_cpus=4, node_ip_address=HOSTS[0], _system_config=QUICK, **bare)
    made.add_node(num_cpus=4, node_ip_address=HOSTS[1], num_gpus=1)
    yield made
    made.shutdown()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()  # Ray leaves its processes to it; not in another test


@pytest.fixture
def cloud(cluster, tmp_path):
    (tmp_path / "storage").mkdir()
    return {"address": cluster.address, "storage": str(tmp_path / "storage")}


@pytest.fixture
def joined(cloud):
    """The jobs of the cluster, seen from this process."""
    import ray

    yield ray_jobs(cloud)
    ray.shutdown()


def settings(given: dict[str, object]) -> list[str]:
    return [word for key, value in given.items() for word in ("--set", f"{key}={value}")]


def actors() -> list[str]:
    import ray

    return [one["name"] for one in ray.util.list_named_actors(all_namespaces=True) if one["namespace"] == NAMESPACE]


WAITS = """
import os, pathlib, time
from cloud_train.parallel import end_with
end_with(int(os.environ["TOUCHLINE_PARENT"]))  # as every subcommand in a container does
base = pathlib.Path(os.environ["SAGEMAKER_BASE_DIR"])
print(os.environ["TOUCHLINE_NODE"], flush=True)
while not (base / "checkpoints" / "go").exists():
    time.sleep(0.1)
(base / "model" / "a.txt").write_text(pathlib.Path(os.environ["SM_CHANNEL_TRAINING"], "a.txt").read_text())
"""


def test_a_job_goes_on_elsewhere_when_its_node_is_lost(joined, cluster, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("hello")
    spec = JobSpec("one", (), str(tmp_path / "data"), program=("-c", WAITS), restarts=1, gpus=1)
    assert joined.start(spec) == joined.start(spec) == "one"
    assert until(lambda: joined.log("one", None)[0] == [HOSTS[1]], 60), "where the GPU is"
    (tmp_path / "data" / "a.txt").unlink()  # the job has a copy where all nodes see it
    before = read_status(joined.folder / "one")
    cluster.remove_node(next(iter(cluster.worker_nodes)), allow_graceful=False)
    assert until(lambda: not alive(before.process), 20)
    assert joined.describe("one").status == "InProgress", "it waits for a node"
    cluster.add_node(num_cpus=4, node_ip_address=HOSTS[2], num_gpus=1)
    assert until(lambda: joined.log("one", None)[0] == [HOSTS[1], HOSTS[2]], 60)
    (joined.folder / "one" / "ml" / "checkpoints" / "go").touch()
    assert until(lambda: joined.describe("one").status in ENDS, 20)
    assert (joined.describe("one").status, joined.describe("one").restarts) == ("Completed", 1)
    joined.fetch("one", str(tmp_path / "model"))
    assert (tmp_path / "model" / "a.txt").read_text() == "hello"
    assert until(lambda: actors() == [], 20), "what was set aside is free again"


def test_a_job_whose_supervisor_is_killed_has_failed_and_one_that_is_stopped_ends(joined):
    spec = JobSpec("two", (), program=("-c", "import time; print('up', flush=True); time.sleep(60)"))
    joined.start(spec)
    assert until(lambda: joined.log("two", None)[0] == ["up"], 60)
    os.kill(read_status(joined.folder / "two").supervisor, signal.SIGKILL)
    assert until(lambda: joined.describe("two").status == "Failed", 20)
    assert joined.describe("two").reason == "its supervisor was killed"
    joined.start(spec)
    assert until(lambda: joined.log("two", None)[0] == ["up", "up"], 60)
    joined.stop("two")
    assert until(lambda: joined.describe("two").status == "Stopped", 20)
    assert until(lambda: actors() == [], 20)


@pytest.mark.usefixtures("joined")
def test_the_policy_pipeline_runs_on_the_cluster_and_survives_the_death_of_a_simulation(cloud, tmp_path):
    out, jobs = tmp_path / "out", tmp_path / "storage" / "jobs"
    tiny = {"budget_seconds": 6, "episodes": 2, "rollout": 512, "minimum": 0, **cloud}
    command = ["pipeline", "run", "policy", "--on", "ray", *settings(tiny), "--out", str(out), "--json"]
    going = subprocess.Popen(
        [sys.executable, "-m", "cloud_train", *command, str(tmp_path / "run.json")],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip

    def process() -> int:
        found = [file for file in jobs.glob("*-simulation-1/log.txt") if "simulates" in file.read_text()]
        return read_status(found[0].parent).process if found else 0

    assert until(process, 200)
    announced = json.loads(next(jobs.glob("apps/*/learner.json")).read_bytes())
    assert announced["host"] in HOSTS, "a learner listens where other nodes reach it"
    os.kill(process(), signal.SIGKILL)
    said, _ = going.communicate(timeout=400)
    assert going.returncode == 0, said + "".join(file.read_text() for file in out.glob("runs/*/log.txt"))
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["figures"]["wait for training: simulation jobs started again"] == 1
    assert record["steps"]["delete simulation app"]["state"] == "done"
    assert list((jobs / "apps").iterdir()) == []
    assert Bundle.load(out / "bundle").manifest.provenance["pipeline_run"] == record["id"]
    assert until(lambda: actors() == [], 20)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"address": ""}, (2, "--on ray needs address: give --set address=..., as docs/pipelines.md says")),
        ({"storage": ""}, (2, "--on ray needs storage: give --set storage=..., as docs/pipelines.md says")),
        ({"storage": "/nowhere"}, (2, "storage=/nowhere: must be the absolute path of a folder that is there")),
        ({"address": "cluster"}, (2, "address=cluster: is no address of a Ray cluster; it must look like HOST:6379")),
        ({"address": "127.0.0.1:9"}, (1, "address=127.0.0.1:9: no Ray cluster answers there (Connection refused)")),
        ({"cpus": "two"}, (2, "cpus and gpus: must be numbers")),
        ({"cpus": 5}, (1, "no node of the cluster has 5 processors and 0 GPUs for a job")),
        ({"simulations": 8}, (1, "has 8 processors, and a learner with 8 simulations needs 9 at once")),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(given, wrong, cloud, tmp_path, capsys):
    chosen = {key: value for key, value in {**cloud, **given}.items() if value}
    out = tmp_path / "out"
    assert main(["pipeline", "run", "policy", "--on", "ray", *settings(chosen), "--out", str(out)]) == wrong[0]
    assert wrong[1] in capsys.readouterr().err
    assert not out.exists()
    assert list(Path(cloud["storage"]).iterdir()) == []
