"""Jobs in SageMaker and Batch through the real boto3 against moto, and an account that may do no more than they need.

moto runs no job: where a job's life is looked at, a local one that keeps to the same contract stands behind it.
"""

from __future__ import annotations

import io
import json
import os
import tarfile
import threading
import time
import urllib.request
from pathlib import Path

import boto3
import botocore.client
import pytest
from brokers import until
from clouds import ACCOUNT, IMAGE, REGION, ROLE, empty_account, jobs, refusing, running_moto
from moto.sagemaker.models import sagemaker_backends
from moto.sagemaker.responses import SageMakerResponse

from cloud_train import stop
from cloud_train.__main__ import main
from cloud_train.aws import CloudError
from cloud_train.follow import LOG_GROUP
from cloud_train.pipelines.jobs.batch import BatchJobs
from cloud_train.pipelines.jobs.sagemaker import SagemakerJobs
from cloud_train.pipelines.jobs.spec import JobSpec
from cloud_train.pipelines.jobs.wait import wait
from cloud_train.pipelines.policy_steps import create_app, delete_app
from cloud_train.recordings import DataError, TrainingError
from cloud_train.rl import app as apps

POLICIES = Path(__file__).parents[2] / "docs" / "iam"
JOB_ROLE = f"arn:aws:iam::{ACCOUNT}:role/simulate"
CLOUD = {
    "image": IMAGE, "role": ROLE, "output": "s3://results/match", "queue": "queue", "job_role": JOB_ROLE,
    "region": REGION, "spot": "true", "max_hours": "2", "tags": "team=a",
    "subnets": "subnet-1,subnet-2", "security_groups": "sg-1",
}  # fmt: skip
ACTIONS = {
    "HeadBucket": "s3:ListBucket", "ListObjectsV2": "s3:ListBucket", "HeadObject": "s3:GetObject",
    "GetLogEvents": "logs:GetLogEvents", "DescribeLogStreams": "logs:DescribeLogStreams",
}  # fmt: skip
"""API calls whose IAM action has another name; those of multipart uploads are PutObject."""
IMPLIED = {"sagemaker:AddTags", "batch:TagResource", "iam:PassRole"}
"""What AWS asks for beside a call: for its tags, and for the role in it."""


@pytest.fixture(scope="module")
def endpoint():
    with running_moto() as address:
        yield address


@pytest.fixture
def aws(endpoint, monkeypatch, tmp_path):
    return empty_account(endpoint, monkeypatch, tmp_path)


@pytest.fixture
def calls(monkeypatch):
    """The API calls that are made, as IAM's actions."""
    made, real = set(), botocore.client.BaseClient._make_api_call

    def record(self, operation, arguments):
        service = self.meta.service_model.signing_name
        made.add(ACTIONS.get(operation, f"{service}:{operation}"))
        return real(self, operation, arguments)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", record)
    return made


@pytest.fixture
def living(monkeypatch):
    """Lets moto's jobs be in progress until they are stopped, which moto itself cannot do."""

    def stop_training_job(self):
        name = json.loads(self.body)["TrainingJobName"]
        job = sagemaker_backends[self.current_account][self.region].training_jobs[name]
        job.training_job_status = job.secondary_status = "Stopped"
        return "{}"

    monkeypatch.setattr(SageMakerResponse, "stop_training_job", stop_training_job, raising=False)

    def start(spec):
        name = SagemakerJobs(CLOUD).start(spec)
        jobs()[name].training_job_status = "InProgress"
        return name

    return start


@pytest.fixture
def queue(aws):
    """A queue of moto's Batch, whose jobs run in no container and end at once."""
    address, body = f"{os.environ['AWS_ENDPOINT_URL']}/moto-api/config", json.dumps({"batch": {"use_docker": False}})
    with urllib.request.urlopen(urllib.request.Request(address, body.encode(), method="POST")) as answer:
        assert answer.status == 201
    iam, batch, ec2 = (boto3.client(name, region_name=REGION) for name in ("iam", "batch", "ec2"))
    network = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    batch.create_compute_environment(
        computeEnvironmentName="here", type="MANAGED", serviceRole=role, state="ENABLED",
        computeResources={"type": "FARGATE", "maxvCpus": 4, "subnets": [network], "securityGroupIds": [group]},
    )  # fmt: skip
    batch.create_job_queue(
        jobQueueName="queue", state="ENABLED", priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": "here"}],
    )  # fmt: skip
    return aws


def put_model(aws, name: str, files: dict[str, bytes]) -> None:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member, data in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    aws.s3.put_object(Bucket="results", Key=f"match/{name}/output/model.tar.gz", Body=packed.getvalue())


def test_a_training_job_says_all_that_sagemaker_needs(aws, tmp_path):
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "features.json").write_text("{}")
    spec = JobSpec("run-1-rgb", ("fit", "rgb", "--data", "{data}"), str(tmp_path / "features"), restarts=2)
    found = SagemakerJobs(CLOUD)
    assert found.start(spec) == found.start(spec) == "run-1-rgb"
    made = jobs()["run-1-rgb"]
    assert made.algorithm_specification["ContainerEntrypoint"] == ["python", "-m", "cloud_train.pipelines.contained"]
    assert made.algorithm_specification["ContainerArguments"] == ["fit", "rgb", "--data", "{data}"]
    assert made.stopping_condition == {"MaxRuntimeInSeconds": 7200, "MaxWaitTimeInSeconds": 14400}
    assert made.enable_managed_spot_training is True
    assert made.checkpoint_config["S3Uri"] == "s3://results/match/checkpoints/run-1-rgb"
    assert {"Key": "team", "Value": "a"} in made.tags
    assert made.vpc_config == {"Subnets": ["subnet-1", "subnet-2"], "SecurityGroupIds": ["sg-1"]}
    assert found.names("run-1") == ["run-1-rgb"]
    put_model(aws, "run-1-rgb", {"run.json": b"{}"})
    found.fetch("run-1-rgb", str(tmp_path / "model"))
    assert [file.name for file in (tmp_path / "model").iterdir()] == ["run.json"]
    made.training_job_status, made.failure_reason = "Failed", "no data"
    assert found.describe("run-1-rgb").reason == "no data"
    assert found.start(spec) == "run-1-rgb-2", "a name cannot be used twice in SageMaker"
    assert jobs()["run-1-rgb-2"].checkpoint_config["S3Uri"].endswith("/run-1-rgb"), "and it goes on from the first's"


@pytest.mark.usefixtures("aws")
def test_a_job_that_fails_stops_its_siblings_and_its_log_is_told(aws, living, capsys):
    names = [living(JobSpec(f"run-2-{modality}", ("fit", modality))) for modality in ("rgb", "audio")]
    aws.logs.create_log_group(logGroupName=LOG_GROUP)
    stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{names[0]}/algo-1-1"}
    aws.logs.create_log_stream(**stream)
    now = round(time.time() * 1000)
    aws.logs.put_log_events(**stream, logEvents=[{"timestamp": now, "message": "epoch 1"}])

    def fail() -> None:
        time.sleep(0.5)
        jobs()[names[0]].failure_reason = "AlgorithmError: no data"
        jobs()[names[0]].training_job_status = "Failed"

    machine = threading.Thread(target=fail)
    machine.start()
    with pytest.raises(TrainingError, match="job run-2-rgb failed: AlgorithmError: no data"):
        wait([f"sagemaker:{name}" for name in names], cloud=CLOUD, every_seconds=0.1)
    machine.join()
    assert jobs()["run-2-audio"].training_job_status == "Stopped"
    said = capsys.readouterr().out
    assert said.count("run-2-rgb: epoch 1\n") == 1
    assert "run-2-audio: [Stopped]" in said


@pytest.mark.usefixtures("aws")
def test_a_stop_stops_what_runs_in_the_cloud(living, monkeypatch):
    name = living(JobSpec("run-3-rgb", ("fit", "rgb")))
    monkeypatch.setattr(stop, "requested", lambda: True)
    with pytest.raises(stop.Stopped):
        wait([f"sagemaker:{name}"], cloud=CLOUD, every_seconds=0.1)
    assert jobs()[name].training_job_status == "Stopped"


def simulations_are_jobs_of_a_definition_in_batch(queue):
    """Looked at in the one test that uses Batch: moto's simple Batch does not find a second definition."""
    found = BatchJobs(CLOUD)
    place = create_app(task="FollowTarget-v0", options={}, on="sagemaker", cloud=CLOUD, pipeline_run="run 4")
    assert place == "s3://results/match/apps/run-4-app"
    assert apps.load(place).task == "FollowTarget-v0"
    spec = JobSpec(
        "run-4-simulation-1", ("rl", "simulate", place), environment={"TOUCHLINE_APP": "run-4-app"}, restarts=20
    )
    sent = []
    found._aws.batch.meta.events.register(
        "provide-client-params.batch.SubmitJob", lambda params, **_: sent.append(params)
    )
    job = found.start(spec)
    assert found.start(spec) == job
    assert [one["retryStrategy"] for one in sent] == [{"attempts": 10}], "Batch's limit, and one job of a name"
    raw = queue.batch.describe_jobs(jobs=[job])["jobs"][0]
    assert "run-4-app" in raw["jobDefinition"]
    assert raw["container"]["command"] == ["rl", "simulate", place]
    assert found.names("run-4") == [job]
    assert found.describe(job).status in ("InProgress", "Completed", "Failed")
    found.stop(job)
    delete_app(on="sagemaker", cloud=CLOUD, pipeline_run="run 4")
    assert until(lambda: found.describe(job).status in ("Stopped", "Completed", "Failed"), 20)
    assert queue.batch.describe_job_definitions(jobDefinitionName="run-4-app", status="ACTIVE")["jobDefinitions"] == []
    with pytest.raises(DataError, match="is no simulation application"):
        apps.load(place)
    delete_app(on="sagemaker", cloud=CLOUD, pipeline_run="run 4")
    return job


def test_simulations_run_in_batch_and_the_policies_allow_what_is_called_and_no_more(
    queue, calls, living, tmp_path, monkeypatch
):
    job = simulations_are_jobs_of_a_definition_in_batch(queue)
    queue.identity()
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "f").write_text("x")
    found, batch = SagemakerJobs(CLOUD), BatchJobs(CLOUD)
    for _ in range(2):  # the second time the file is looked at
        name = found.start(JobSpec("run-5-rgb", ("fit", "rgb"), str(tmp_path / "features")))
        jobs()[name].training_job_status = "Failed"
    put_model(queue, name, {"a": b"a"})
    found.fetch(name, str(tmp_path / "model"))
    found.stop(living(JobSpec("run-5-learner", ("rl", "train"))))
    raw = queue.batch.describe_jobs(jobs=[job])["jobs"][0]
    raw.setdefault("container", {})["logStreamName"] = "run-5-app/default/1"
    monkeypatch.setattr(batch, "_found", lambda _job: raw)
    queue.logs.create_log_group(logGroupName="/aws/batch/job")
    queue.logs.create_log_stream(logGroupName="/aws/batch/job", logStreamName="run-5-app/default/1")
    calls -= {"logs:CreateLogGroup", "logs:CreateLogStream"}
    batch.log(job, None)
    assert (
        main(
            [
                "pipeline",
                "run",
                "policy",
                "--on",
                "sagemaker",
                "--set",
                "output=s3://nothing/x",
                *settings(),
                "--out",
                str(tmp_path / "o"),
            ]
        )
        == 1
    )
    allowed = {action for one in statements("pipeline") for action in one["Action"]}
    assert calls - allowed == {"sts:GetCallerIdentity"}, "which everyone may"
    assert allowed - calls == IMPLIED
    for one in statements("pipeline"):
        assert (one["Resource"] == "*") == (one["Sid"] == "Looks"), "AWS knows no resources for these"


def settings() -> list[str]:
    return [
        word
        for key in ("image", "role", "queue", "job_role", "subnets", "security_groups")
        for word in ("--set", f"{key}={CLOUD[key]}")
    ]


def test_a_simulation_may_find_its_learner_and_no_more(aws, calls):
    place = "s3://results/match/apps/a"
    apps.create(place, "FollowTarget-v0", {})
    apps.announce(place, "10.0.0.1", 9000)
    calls.clear()
    assert apps.learner(place) == ("10.0.0.1", 9000)
    apps.load(place)
    allowed = {action for one in statements("simulation") for action in one["Action"]}
    assert calls | {"s3:ListBucket"} == allowed, "without ListBucket S3 says 403 for what is not there"
    assert aws.region == REGION


def statements(name: str) -> list[dict]:
    return json.loads((POLICIES / f"{name}.json").read_text())["Statement"]


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"role": ""}, 2, "--on sagemaker needs role: give --set role=..., as docs/pipelines.md says"),
        ({"role": "train"}, 2, "--role 'train' is not valid; it must be arn:aws:iam::ACCOUNT:role/NAME"),
        ({"output": "s3://nothing/x"}, 1, "bucket 'nothing' does not exist"),
        ({"max_hours": "long"}, 2, "volume_gb, max_hours and tags: must be two numbers"),
    ],
)
def test_what_is_missing_is_said_before_anything_starts(wrong, code, said, tmp_path, capsys):
    cloud = {**{key: CLOUD[key] for key in ("image", "role", "output")}, **wrong}
    arguments = [word for key, value in cloud.items() for word in ("--set", f"{key}={value}") if value]
    if "" in cloud.values():
        arguments = [word for key, value in cloud.items() if value for word in ("--set", f"{key}={value}")]
    assert main(["pipeline", "run", "event", "--on", "sagemaker", *arguments, "--out", str(tmp_path / "out")]) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_missing_credentials_are_said_before_anything_starts(aws, monkeypatch, tmp_path, capsys):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    arguments = [word for key in ("image", "role", "output") for word in ("--set", f"{key}={CLOUD[key]}")]
    assert main(["pipeline", "run", "event", "--on", "sagemaker", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert "no AWS credentials" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert aws.region == REGION


def test_throttled_calls_are_tried_again_and_then_said(aws, monkeypatch):
    with refusing() as server:
        server.error = "ThrottlingException"
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        with pytest.raises(CloudError, match="AWS had too many requests, and still after several tries"):
            SagemakerJobs(CLOUD).describe("run-6-rgb")
        assert server.calls == 3
    assert aws.region == REGION
