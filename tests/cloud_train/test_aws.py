"""What cannot be done in AWS is one sentence, through the real boto3 and an AWS on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from clouds import IMAGE, ROLE, empty_account, jobs, refusing, running_moto

from cloud_train.__main__ import main

pytestmark = pytest.mark.usefixtures("aws")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running_moto() as address:
        yield address


@pytest.fixture
def aws(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    return empty_account(endpoint, monkeypatch, tmp_path)


def touchline_train(*arguments: object) -> int:
    return main(["submit", *map(str, arguments)])


NEW = ("--image", IMAGE, "--role", ROLE, "--data", "s3://recordings/all", "--output", "s3://results/match")


def test_wrong_options_are_refused_before_anything_is_sent(tmp_path: Path, capsys):
    def sentence(*arguments: object) -> str:
        assert touchline_train(*arguments) == 2
        return capsys.readouterr().err

    assert "--role is missing" in sentence("--image", IMAGE)
    assert "hyperparameter 'epoch' is not known; did you mean 'epochs'?" in sentence(
        *NEW, "--hyperparameter", "epoch=3"
    )
    assert "hyperparameter epochs: invalid int value: 'many'" in sentence(*NEW, "--hyperparameter", "epochs=many")
    assert "--fetch waits for the job" in sentence(*NEW, "--no-wait", "--fetch", tmp_path / "b")
    assert "no recordings; give a folder of class folders" in sentence(*NEW[:5], tmp_path, *NEW[6:])
    assert jobs() == {}


def test_what_is_not_there_is_one_sentence(tmp_path: Path, capsys):
    def sentence(*arguments: object, code: int = 1) -> str:
        assert touchline_train(*arguments) == code
        return capsys.readouterr().err

    assert "bucket 'nowhere' does not exist; make it in eu-west-1" in sentence(*NEW[:-1], "s3://nowhere/x")
    assert "s3://recordings/al/: nothing is there" in sentence(*NEW[:5], "s3://recordings/al", *NEW[6:])
    assert "Could not find training job" in sentence("--attach", "nobody")
    found = sentence(*NEW, "--name", "m", "--every", 0.01, "--fetch", tmp_path / "b")
    assert "HeadObject: the object does not exist" in found


def test_missing_credentials_region_and_network_are_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert touchline_train(*NEW) == 1
    assert "AWS cannot be reached (Could not connect to the endpoint URL" in capsys.readouterr().err
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert touchline_train(*NEW) == 2
    assert "no AWS credentials (The config profile (nobody) could not be found)" in capsys.readouterr().err
    monkeypatch.delenv("AWS_PROFILE")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    assert touchline_train(*NEW) == 2
    assert "no AWS credentials" in capsys.readouterr().err
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert touchline_train(*NEW) == 2
    assert "no AWS region: give --region, or set AWS_DEFAULT_REGION" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "sentence", "calls"),
    [
        ("AccessDeniedException", "AWS denies it to these credentials (as it says)", 1),
        ("ResourceLimitExceeded", "the account's quota does not allow it; ask for more in Service Quotas", 1),
        ("ResourceInUse", "a job of this name exists; choose another --name (as it says)", 1),
        ("ExpiredTokenException", "the AWS credentials have expired; log in again", 1),
        ("ThrottlingException", "AWS had too many requests, and still after several tries", 3),
        ("Odd", "CreateTrainingJob: Odd (as it says)", 1),
    ],
)
def test_what_aws_refuses_is_one_sentence(monkeypatch, capsys, error: str, sentence: str, calls: int):
    with refusing() as server:
        server.error = error
        monkeypatch.setenv("AWS_ENDPOINT_URL_SAGEMAKER", f"http://127.0.0.1:{server.server_port}")
        assert touchline_train(*NEW) == 1
    assert (
        f"touchline-train: CreateTrainingJob: {sentence.removeprefix('CreateTrainingJob: ')}" in capsys.readouterr().err
    )
    assert server.calls == calls, "throttling is tried again, and nothing else"
