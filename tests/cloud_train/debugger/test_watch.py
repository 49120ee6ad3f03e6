"""Rules beside a job: statuses, what is done about a finding, and a job that stops when it is asked to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from brokers import until
from clouds import REGION, empty_account, running_moto
from planted import Planted
from rich.console import Console

from cloud_train.__main__ import main
from cloud_train.aws import CloudError, connect
from cloud_train.debugger.actions import act, command, mqtt_message, stop_request, stop_training_job, webhook
from cloud_train.debugger.finding import Finding
from cloud_train.debugger.judge import Judge, verdicts
from cloud_train.debugger.rules import RULES, Rule, defaults, read_rules, rule
from cloud_train.debugger.saved import RunInfo
from cloud_train.debugger.trial import Trial
from cloud_train.debugger.watch import watch
from cloud_train.recordings import DataError
from edge.address import MqttUrl

FOUND = Finding("ExplodingTensor", 30, "loss holds NaN at step 30 (train)", "Lower the learning rate.", "loss")
JOB = """
import sys, time
from pathlib import Path
from cloud_train.debugger.hook import Hook
from cloud_train.debugger.saved import Collection, RunInfo
with Hook(sys.argv[1], RunInfo("other", "job"), save={"losses": Collection(10)}) as hook:
    for step in range(100_000):
        if hook.due(step):
            hook.save(step, "train", {"losses": {"loss": 1.0}})
        while step == 1 and "watched" in sys.argv and not Path(sys.argv[1], "debug/findings.json").exists():
            time.sleep(0.01)
        if hook.stop:
            break
        time.sleep(0.01)
print(step)
"""


@contextmanager
def listening(answers: dict | None = None) -> Iterator[ThreadingHTTPServer]:
    """An HTTP server that keeps what it is sent in `got`, and answers by the call's name."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            target = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
            self.server.got.append((target, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            body = json.dumps((answers or {}).get(target, {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.got = []
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_each_rule_has_its_status_and_one_that_raises_stops_no_other(tmp_path: Path, caplog):
    def broken(_: Trial) -> None:
        raise LookupError("no such thing")  # noqa: EM101, TRY003

    run = Planted(tmp_path).losses({"loss": [1.0, 0.5]}, "train", every=10)
    judge = Judge([Rule("broken", broken), rule("ExplodingTensor"), rule("LossNotDecreasing")])
    trial = run.trial
    assert judge.push(trial) == []
    assert [v.status for v in judge.verdicts.values()] == ["Error", "InProgress", "InProgress"]
    run.put(30, "train", {"losses": {"loss": np.float64("nan")}})
    trial.refresh()
    (finding,) = [each for each in judge.push(trial) if each.rule == "ExplodingTensor"]
    assert (finding.step, finding.tensor) == (30, "loss")
    judge.flush(trial)
    found = {v.rule: v for v in verdicts(tmp_path)}
    assert (found["broken"].status, found["broken"].error) == ("Error", "LookupError: no such thing")
    assert found["ExplodingTensor"].finding == finding
    assert caplog.text.count("rule broken cannot judge: LookupError: no such thing") == 1


def test_a_stop_is_asked_for_and_done_within_two_save_intervals(tmp_path: Path):
    run = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", JOB, str(run), "watched"], stdout=subprocess.PIPE, text=True) as job:
        out = StringIO()
        rules = read_rules("LossNotDecreasing:num_steps=20")
        found = watch(run, rules, [stop_request(run)], every=0.05, console=Console(file=out, width=200))
        last = int(job.stdout.read())
        assert job.wait() == 0
    assert [v.status for v in found] == ["IssuesFound"]
    assert found[0].finding.step == 20
    trial = Trial(run)
    assert trial.end.status == "stopped"
    assert trial.end.reason.startswith("LossNotDecreasing: loss was 1 at step 0 and is 1 at step 20")
    assert last <= 20 + 2 * 10
    lines = out.getvalue().splitlines()
    assert lines[0] == "LossNotDecreasing InProgress"
    assert lines[-2].startswith("LossNotDecreasing IssuesFound: loss was 1 at step 0")
    assert lines[-1].startswith("job: stopped at step")


def test_a_job_that_is_gone_has_ended_and_the_table_says_what_was_found(tmp_path: Path):
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        pass
    Planted(tmp_path, pid=process.pid).losses({"loss": [1.0] * 11}, "train")
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=140)
    found = watch(tmp_path, read_rules("LossNotDecreasing,Overfit"), console=console)
    assert [v.status for v in found] == ["IssuesFound", "NoIssuesFound"]
    for said in ("IssuesFound", "NoIssuesFound", "loss was 1 at step 0", "Check the learning rate", "is gone"):
        assert said in out.getvalue()


def test_watch_waits_for_a_run_and_gives_up_in_a_sentence(tmp_path: Path, capsys):
    assert main(["watch", str(tmp_path / "none"), "--rules", "Overfit", "--wait", "0.1"]) == 2
    assert "none: holds no debug/run.json" in capsys.readouterr().err
    Planted(tmp_path / "run").losses({"loss": [1.0, 0.5]}, "train").end()
    assert main(["watch", str(tmp_path / "run"), "--rules", "Overfit,Overtraining:delta=1"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["Overfit NoIssuesFound", "Overtraining NoIssuesFound"]


def test_a_finding_goes_to_mqtt_a_webhook_and_a_command(tmp_path: Path, broker, client):
    listener = client(broker, "club/training/#")
    seen = tmp_path / "seen.json"
    script = f"import os, sys; open({str(seen)!r}, 'w').write(os.environ['TOUCHLINE_RULE'] + sys.stdin.read())"
    with listening() as server:
        port = server.server_address[1]
        actions = [
            mqtt_message(MqttUrl.parse(f"{broker.url}/club")),
            webhook(f"http://127.0.0.1:{port}/hook"),
            command(f'{sys.executable} -c "{script}"'),
        ]
        act(actions, FOUND, "run 1")
        assert until(lambda: listener.got)
    told = {"job": "run 1", "rule": "ExplodingTensor", "step": 30, "message": FOUND.message, "advice": FOUND.advice,
            "tensor": "loss"}  # fmt: skip
    assert server.got == [("", told)]
    message = listener.got[0]
    assert (message.topic, json.loads(message.payload)) == ("club/training/run_1/finding", told)
    assert seen.read_text() == "ExplodingTensor" + json.dumps(told)


def test_an_action_that_fails_is_named_and_the_others_are_done(caplog):
    done = []
    refused = "mqtt://127.0.0.1:1"
    actions = [
        webhook("http://127.0.0.1:1/"), mqtt_message(MqttUrl.parse(refused)), command("false"), command("/no/program"),
        lambda finding, job: done.append((finding, job)),
    ]  # fmt: skip
    act(actions, FOUND, "job")
    assert done == [(FOUND, "job")]
    for name in ("webhook", "mqtt message", "command"):
        assert f"{name} about ExplodingTensor: " in caplog.text
    with pytest.raises(DataError, match="must begin with http:// or https://"):
        webhook("ftp://x")


def test_a_sagemaker_job_is_stopped_where_the_prefix_means_one(monkeypatch: pytest.MonkeyPatch):
    names = ["match-1", "match-2", "other-match-3"]
    summaries = [
        {"TrainingJobName": n, "TrainingJobArn": "arn:aws:sagemaker:eu-west-1:1:training-job/x", "CreationTime": 1.0,
         "TrainingJobStatus": "InProgress"} for n in names
    ]  # fmt: skip
    with listening({"ListTrainingJobs": {"TrainingJobSummaries": summaries}}) as server:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        aws = connect(REGION)
        with pytest.raises(
            CloudError, match=r"2 running jobs \(match-1, match-2\) begin with 'match'; nothing was stopped"
        ):
            stop_training_job(aws, "match")(FOUND, "job")
        with pytest.raises(CloudError, match="no running job begins with 'rugby'"):
            stop_training_job(aws, "rugby")(FOUND, "job")
        stop_training_job(aws, "match-2")(FOUND, "job")
        calls = [(name, body.get("TrainingJobName")) for name, body in server.got if name == "StopTrainingJob"]
    assert calls == [("StopTrainingJob", "match-2")]


def test_a_run_on_s3_is_watched_and_stopped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with running_moto() as endpoint:
        empty_account(endpoint, monkeypatch, tmp_path)
        from cloud_train.debugger.hook import Hook
        from cloud_train.debugger.saved import Collection

        where = "s3://results/jobs/two"
        with Hook(where, RunInfo("other", "two", host="elsewhere"), save={"losses": Collection(1)}) as hook:
            beside = {"every": 0.1, "console": Console(file=StringIO())}
            asked = (where, read_rules("LossNotDecreasing"), [stop_request(where)])
            thread = Thread(target=watch, args=asked, kwargs=beside)
            thread.start()
            for step in range(2000):
                hook.save(step, "train", {"losses": {"loss": 1.0}})
                if hook.stop:
                    break
                time.sleep(0.05)
        thread.join(20)
        assert not thread.is_alive()
        assert Trial(where).end.reason.startswith("LossNotDecreasing: ")
        assert verdicts(where)[0].status == "IssuesFound"


def test_rules_as_they_are_written(tmp_path: Path):
    own = tmp_path / "mine.py"
    own.write_text("def my_rule(trial, *, most: int = 3):\n    return None\n")
    first, second, third = read_rules(f"lossnotdecreasing:num_steps=5,diff_percent=0.1,{own}:my_rule:most=4,Overfit")
    assert (first.name, first.parameters) == ("LossNotDecreasing", {"num_steps": 5, "diff_percent": 0.1})
    assert (second.name, second.parameters, second.stops) == ("my_rule", {"most": 4}, True)
    assert (third.name, third.stops, first.stops) == ("Overfit", False, True)
    assert not read_rules("StalledTrainingRule")[0].stops
    assert read_rules("StalledTraining:stop_training_on_fire=true,training_job_name_prefix=x")[0].stops
    for text, said in {
        "LossNotDecreasin": "no rule 'LossNotDecreasin'; did you mean LossNotDecreasing?",
        "Overfit,Overfit": "rule Overfit is named twice",
        "Overfit:patiense=3": "no parameter of Overfit 'patiense'; did you mean patience?",
        "Overfit:patience=x": "Overfit: patience=x: expected `int`",
        "SimilarAcrossRuns": "SimilarAcrossRuns needs other_trial: SimilarAcrossRuns:other_trial=...",
        f"{own}:my_rul": "did you mean my_rule?",
        "nothing.py:x": "nothing.py: no such file",
    }.items():
        with pytest.raises(DataError, match=said):
            read_rules(text)


def test_every_built_in_has_defaults_and_says_what_it_finds():
    for name, function in RULES.items():
        missing = [key for key, value in defaults(function).items() if value is ...]
        assert missing == (["other_trial"] if name == "SimilarAcrossRuns" else [])
        assert function.__doc__.splitlines()[0].endswith((".", ":"))
