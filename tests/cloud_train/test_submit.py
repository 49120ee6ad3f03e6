"""`touchline-train submit` against moto's S3, SageMaker and CloudWatch on loopback, through the real boto3.

moto runs no job: tests put the log and the model where SageMaker would.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clouds import ACCOUNT, IMAGE, REGION, ROLE, empty_account, jobs, running_moto

from cloud_train.__main__ import main
from cloud_train.aws import Aws, S3Address
from cloud_train.follow import LOG_GROUP
from cloud_train.recordings import DataError
from cloud_train.submit import Request, check, job_definition
from cloud_train.transfer import upload
from edge.bundle import DEMO, Bundle

REQUEST = Request("match-1", IMAGE, ROLE, "s3://recordings/all", "s3://results/match")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running_moto() as address:
        yield address


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Aws:
    return empty_account(endpoint, monkeypatch, tmp_path)


def touchline_train(*arguments: object) -> int:
    return main(["submit", *map(str, arguments)])


NEW = ("--image", IMAGE, "--role", ROLE, "--data", "s3://recordings/all", "--output", "s3://results/match")


def put_model(aws: Aws, name: str, members: dict[str, bytes]) -> None:
    """Put a model.tar.gz where SageMaker puts that of the job `name`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for member, data in members.items():
            info = tarfile.TarInfo(member)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    aws.s3.put_object(Bucket="results", Key=f"match/{name}/output/model.tar.gz", Body=packed.getvalue())


def put_log(aws: Aws, name: str, lines: list[str], *, new: bool = True) -> None:
    stream = {"logGroupName": LOG_GROUP, "logStreamName": f"{name}/algo-1-1"}
    if new:
        aws.logs.create_log_group(logGroupName=LOG_GROUP)
        aws.logs.create_log_stream(**stream)
    now = round(time.time() * 1000)
    events = [{"timestamp": now + i, "message": line} for i, line in enumerate(lines)]
    aws.logs.put_log_events(**stream, logEvents=events)


def demo() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in DEMO.iterdir()}


def keys(aws: Aws, bucket: str) -> dict[str, dict]:
    found = aws.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: item for item in found}


def test_a_job_is_created_followed_and_its_bundle_fetched(aws: Aws, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    put_model(aws, "match-1", demo())
    put_log(aws, "match-1", [f"rgb: epoch {i}" for i in range(3)])
    arguments = ("--name", "match-1", "--hyperparameter", "epochs=3", "--every", 0.05)
    out, record = tmp_path / "bundles" / "match", tmp_path / "job.json"
    assert touchline_train(*NEW, *arguments, "--fetch", out, "--json", record) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"created arn:aws:sagemaker:{REGION}:{ACCOUNT}:training-job/match-1\n[Starting: ")
    assert said.count("rgb: epoch 0\nrgb: epoch 1\nrgb: epoch 2\n") == said.count("epoch 1") == 1
    assert "sports25" in said
    assert Bundle.load(out).sha256 == Bundle.load(DEMO).sha256
    job = json.loads(record.read_text())
    assert (job["name"], job["status"]) == ("match-1", "Completed")
    assert job["model"] == "s3://results/match/match-1/output/model.tar.gz"
    made = jobs()["match-1"]
    assert made.hyper_parameters == {"epochs": "3"}
    assert made.input_data_config[0]["DataSource"]["S3DataSource"]["S3Uri"] == "s3://recordings/all/"
    assert touchline_train("--attach", "match-1", "--every", 0.05, "--fetch", out) == 0, "replaces an older bundle"
    assert list(out.parent.iterdir()) == [out]


def test_log_lines_come_as_they_are_written_and_once(aws: Aws, capsys: pytest.CaptureFixture[str]):
    assert touchline_train(*NEW, "--name", "live", "--no-wait") == 0
    job = jobs()["live"]
    job.training_job_status = "InProgress"

    def train() -> None:
        put_log(aws, "live", ["one", "two"])
        job.secondary_status_transitions.append({"Status": "Training", "StatusMessage": "image is there"})
        time.sleep(0.3)
        put_log(aws, "live", ["three"], new=False)
        job.training_job_status = "Completed"
        time.sleep(0.1)
        put_log(aws, "live", ["last"], new=False)

    machine = threading.Thread(target=train)
    machine.start()
    assert touchline_train("--attach", "live", "--every", 0.3) == 0
    machine.join()
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line in ("one", "two", "three", "last")] == ["one", "two", "three", "last"]
    assert lines.count("[Training: image is there]") == 1


@pytest.mark.usefixtures("aws")
def test_a_failed_and_a_stopped_job_say_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert touchline_train(*NEW, "--name", "bad", "--no-wait", "--json", tmp_path / "job.json") == 0
    job = jobs()["bad"]
    job.training_job_status, job.failure_reason = "Failed", "AlgorithmError: class 'few' has 2 recordings"
    assert touchline_train("--attach", "bad", "--every", 0.01, "--json", tmp_path / "job.json") == 1
    assert "job bad failed: AlgorithmError: class 'few' has 2 recordings\n" in capsys.readouterr().err
    assert json.loads((tmp_path / "job.json").read_text())["failure"].startswith("AlgorithmError")
    job.training_job_status = job.secondary_status = "Stopped"
    assert touchline_train("--attach", "bad", "--every", 0.01) == 1
    assert "job bad was stopped (Stopped)" in capsys.readouterr().err


@pytest.mark.usefixtures("aws")
def test_ctrl_c_leaves_the_job_alone_and_says_how_to_go_on():
    assert touchline_train(*NEW, "--name", "long", "--no-wait") == 0
    jobs()["long"].training_job_status = "InProgress"
    command = [sys.executable, "-m", "cloud_train", "submit", "--attach", "long", "--every", "30"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout.readline().startswith("[Starting")
        time.sleep(0.5)
        following.send_signal(signal.SIGINT)
        _, said = following.communicate(timeout=20)
    assert following.returncode == 130
    assert f"job long goes on; follow it: touchline-train submit --attach long --region {REGION}; stop it: aws" in said
    assert "Traceback" not in said


def test_a_folder_is_uploaded_once_and_listed_exactly(aws: Aws, tmp_path: Path):
    folder = tmp_path / "matches"
    for name in ("tennis/1.mp4", "tennis/2.mp4", "golf/1.mp4", "golf/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    new = [*NEW[:5], folder, *NEW[6:]]
    assert touchline_train(*new, "--name", "first", "--no-wait") == 0
    before = keys(aws, "results")
    uploaded = {f"match/data/matches/{name}" for name in ("golf/1.mp4", "tennis/1.mp4", "tennis/2.mp4")}
    assert uploaded < set(before)
    (folder / "golf" / "1.mp4").write_bytes(b"golf/9.mp4")  # the same size
    (folder / "tennis" / "2.mp4").unlink()
    time.sleep(1.1)  # S3 tells times in seconds
    assert touchline_train(*new, "--name", "second", "--no-wait") == 0
    after = keys(aws, "results")
    changed = {key for key in uploaded if after[key]["LastModified"] != before[key]["LastModified"]}
    assert changed == {"match/data/matches/golf/1.mp4"}
    source = jobs()["second"].input_data_config[0]["DataSource"]
    assert source["S3DataSource"]["S3DataType"] == "ManifestFile"
    bucket, _, key = source["S3DataSource"]["S3Uri"].removeprefix("s3://").partition("/")
    listing = json.load(aws.s3.get_object(Bucket=bucket, Key=key)["Body"])
    assert listing == [{"prefix": "s3://results/match/data/matches/"}, "golf/1.mp4", "tennis/1.mp4"]


def test_an_object_that_another_program_put_there_is_replaced(aws: Aws, tmp_path: Path):
    (tmp_path / "a").write_bytes(b"new")
    aws.s3.put_object(Bucket="results", Key="data/a", Body=b"old")
    upload(aws, tmp_path, S3Address("results", "data"))
    assert aws.s3.get_object(Bucket="results", Key="data/a")["Body"].read() == b"new"


@pytest.mark.parametrize(
    ("members", "sentence"),
    [
        ({"../evil": b"x", **demo()}, "cannot be unpacked"),
        ({name: data for name, data in demo().items() if name != "rgb.tflite"}, "rgb.tflite: cannot be read"),
        ({**demo(), "rgb.tflite": b"other"}, "rgb.tflite: has changed"),
    ],
)
def test_a_bad_archive_changes_nothing(aws: Aws, tmp_path: Path, capsys, members: dict[str, bytes], sentence: str):
    put_model(aws, "match-1", members)
    out = tmp_path / "bundles" / "match"
    shutil.copytree(DEMO, out)
    assert touchline_train(*NEW, "--name", "match-1", "--every", 0.01, "--fetch", out) == 1
    assert sentence in capsys.readouterr().err
    assert list(tmp_path.rglob("evil")) == []
    assert list(out.parent.iterdir()) == [out]
    Bundle.load(out)


def test_what_is_no_archive_and_what_is_no_bundle_folder_are_said(aws: Aws, tmp_path: Path, capsys):
    aws.s3.put_object(Bucket="results", Key="match/m/output/model.tar.gz", Body=b"not gzip")
    assert touchline_train(*NEW, "--name", "m", "--every", 0.01, "--fetch", tmp_path / "b") == 1
    assert "cannot be unpacked (not a gzip file)" in capsys.readouterr().err
    (tmp_path / "mine").write_text("something else")
    assert touchline_train(*NEW, "--name", "n", "--fetch", tmp_path) == 1
    assert "exists and is not a bundle" in capsys.readouterr().err
    assert "n" not in jobs(), "refused before anything is sent"


def test_the_definition_is_complete_and_boto3_accepts_it(aws: Aws):
    request = replace(REQUEST, spot=True, max_hours=2.5, hyperparameters={"epochs": "3"}, tags={"team": "a"})
    job = job_definition(request, {"S3DataType": "S3Prefix", "S3Uri": request.data})
    assert job["StoppingCondition"] == {"MaxRuntimeInSeconds": 9000, "MaxWaitTimeInSeconds": 18000}
    assert job["EnableManagedSpotTraining"] is True
    assert job["CheckpointConfig"]["S3Uri"] == "s3://results/match/checkpoints/match-1"
    assert {"Key": "team", "Value": "a"} in job["Tags"]
    assert {m["Name"] for m in job["AlgorithmSpecification"]["MetricDefinitions"]} >= {"rgb:validation_accuracy"}
    assert aws.sagemaker.create_training_job(**job)["TrainingJobArn"].endswith("/match-1")
    again = job_definition(replace(request, spot=False, checkpoints="s3://results/x"), {"S3Uri": request.data})
    assert "MaxWaitTimeInSeconds" not in again["StoppingCondition"]
    assert again["CheckpointConfig"]["S3Uri"] == "s3://results/x"


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": "a_b"}, "--name 'a_b' is not valid; it must be up to 63 letters"),
        ({"image": "touchline:1"}, "--image 'touchline:1' is not valid; it must be ACCOUNT.dkr.ecr"),
        ({"image": IMAGE.replace(REGION, "us-east-1")}, "--image is in us-east-1 and the job would run in eu-west-1"),
        ({"role": "train"}, "--role 'train' is not valid; it must be arn:aws:iam::ACCOUNT:role/NAME"),
        ({"instance_type": "g5.xlarge"}, "--instance-type 'g5.xlarge' is not valid; it must be like ml.g5.xlarge"),
        ({"instances": 2}, "--instances 2: a job trains on one instance"),
        ({"max_hours": 700.0}, "--max-hours 700 is not possible; it must be above 0 and at most 672"),
        ({"data": "s3://A/b"}, "--data 's3://A/b' is no S3 address"),
        ({"data": "/nowhere"}, "--data /nowhere: no such folder"),
        ({"output": "results"}, "--output 'results' is no S3 address; it must look like s3://bucket/prefix"),
        ({"checkpoints": "c"}, "--checkpoints 'c' is no S3 address"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_is_sent(wrong: dict, sentence: str):
    with pytest.raises(DataError) as error:
        check(replace(REQUEST, **wrong), REGION)
    assert sentence in str(error.value)
