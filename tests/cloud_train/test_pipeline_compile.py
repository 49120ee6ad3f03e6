"""Compiled pipelines are what was looked at, what kfp reads again, and what the docs draw.

`python tests/cloud_train/test_pipeline_compile.py` writes YAML and pictures anew.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from google.protobuf import json_format
from kfp import components
from kfp.pipeline_spec import pipeline_spec_pb2

from cloud_train.__main__ import main
from cloud_train.pipelines.catalogue import compile_to, order
from cloud_train.pipelines.picture import draw, tasks
from cloud_train.recordings import DataError

DOCS = Path(__file__).parents[2] / "docs" / "pipelines"
SHAPES = {
    "event": ("event", {}, "local"),
    "event-sagemaker": ("event", {}, "sagemaker"),
    "policy": ("policy", {}, "local"),
    "debug": ("debug", {}, "local"),
}
ANY = "sdkVersion: kfp-ANY"


def compiled(shape: str, file: Path) -> str:
    """The YAML, whichever version of kfp wrote it."""
    name, given, on = SHAPES[shape]
    compile_to(order(name, given, on), file)
    return re.sub(r"sdkVersion: kfp-[\d.]+", ANY, file.read_text())


@pytest.mark.parametrize("shape", SHAPES)
def test_the_yaml_is_that_of_the_docs_and_kfp_loads_it_again(shape, tmp_path):
    text = compiled(shape, tmp_path / "pipeline.yaml")
    assert text == (DOCS / f"{shape}.yaml").read_text(), "run: python tests/cloud_train/test_pipeline_compile.py"
    loaded = components.load_component_from_file(str(tmp_path / "pipeline.yaml"))
    assert loaded.name == SHAPES[shape][0]
    first = next(yaml.safe_load_all(text))
    spec = json_format.ParseDict(first, pipeline_spec_pb2.PipelineSpec(), ignore_unknown_fields=False)
    assert len(spec.components) >= len(tasks(tmp_path / "pipeline.yaml"))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_picture_is_that_of_the_docs(shape):
    drawn = draw(DOCS / f"{shape}.yaml")
    assert drawn == (DOCS / f"{shape}.svg").read_bytes(), "run: python tests/cloud_train/test_pipeline_compile.py"
    texts = {element.text for element in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")}
    assert set(tasks(DOCS / f"{shape}.yaml")) <= texts


def test_on_a_ray_cluster_the_steps_are_those_of_sagemaker(tmp_path):
    compile_to(order("event", {"address": "head:6379", "storage": "/mnt/shared"}, "ray"), tmp_path / "event.yaml")
    assert tasks(tmp_path / "event.yaml") == tasks(DOCS / "event-sagemaker.yaml")


def test_a_cluster_is_told_what_each_step_needs():
    first = next(yaml.safe_load_all((DOCS / "event.yaml").read_text()))
    dag, executors = first["root"]["dag"]["tasks"], first["deploymentSpec"]["executors"]
    trains = [task for task in dag.values() if task["taskInfo"]["name"].startswith("train ")]
    assert len(trains) == 3
    for task in trains:
        executor = first["components"][task["componentRef"]["name"]]["executorLabel"]
        resources = executors[executor]["container"]["resources"]
        assert resources["accelerator"]["resourceType"] == "nvidia.com/gpu"
        assert resources["accelerator"]["resourceCount"] == "1"
        assert (resources["resourceCpuLimit"], resources["resourceMemoryLimit"]) == ("4", "16G")
        assert task["retryPolicy"]["maxRetryCount"] == 2
        assert task["cachingOptions"]["enableCache"] is True
    for name in ("gate", "publish"):
        assert "enableCache" not in dag[name]["cachingOptions"]
    assert {one["container"]["image"] for one in executors.values()} == {"touchline-python:0.1.0"}
    assert not any("pip install" in str(one["container"]["command"]) for one in executors.values())


def test_each_body_is_one_import_and_one_call():
    for file in DOCS.glob("*.yaml"):
        first = next(yaml.safe_load_all(file.read_text()))
        for executor in first["deploymentSpec"]["executors"].values():
            source = executor["container"]["command"][-1]
            assert len(re.findall(r"^    from cloud_train\.pipelines\.\w+ import \w+$", source, re.MULTILINE)) == 1


def test_the_image_and_what_was_set_are_in_the_yaml(tmp_path):
    out = tmp_path / "event.yaml"
    arguments = ["--set", "data=s3://bucket/list.csv", "--set", "epochs=3", "--set", "modalities=audio,rgb"]
    image = "registry.example.com/touchline:1"
    assert main(["pipeline", "compile", "event", *arguments, "--image", image, "--out", str(out)]) == 0
    first = next(yaml.safe_load_all(out.read_text()))
    assert {one["container"]["image"] for one in first["deploymentSpec"]["executors"].values()} == {image}
    given = {k: v.get("defaultValue") for k, v in first["root"]["inputDefinitions"]["parameters"].items()}
    assert (given["data"], given["settings"]) == ("s3://bucket/list.csv", {"epochs": "3"})
    assert [name for name in tasks(out) if name.startswith("train")] == ["train rgb", "train audio"]


@pytest.mark.parametrize(
    ("name", "given", "on", "said"),
    [
        ("event", {"epoch": "3"}, "local", "--set epoch: this pipeline has no such parameter; did you mean 'epochs'?"),
        ("event", {"minimum": "high"}, "local", "minimum=high: must be a number"),
        ("event", {"modalities": "smell"}, "local", "modalities=smell: name one or more of rgb, flow, audio"),
        ("event", {"epochs": "many"}, "local", "hyperparameter epochs: invalid int value: 'many'"),
        ("event", {"preset": "huge"}, "local", "preset 'huge' is not known; known are demo, tiny, reference"),
        ("event", {"rule": "fist"}, "local", "rule=fist: must be one of class_model_table"),
        ("event", {"data": "/nowhere"}, "local", "/nowhere: no such folder or table"),
        ("policy", {"rollout": "x"}, "local", "rollout=x: is no setting of a policy's training"),
        ("policy", {"simulations": "3"}, "local", "simulations=3: so many jobs cannot share 8 environments"),
        ("debug", {"rules": "Nonsense"}, "local", "Nonsense"),
        ("debug", {"data": "/nowhere.csv"}, "local", "data=/nowhere.csv: no such file"),
        ("debug", {}, "ray", "--on ray: the debug pipeline runs on local alone"),
        ("debug", {}, "sagemaker", "--on sagemaker: the debug pipeline runs on local alone"),
    ],
)
def test_what_cannot_be_set_is_said_before_anything_starts(name, given, on, said):
    with pytest.raises(DataError, match=re.escape(said)):
        order(name, given, on)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("http://127.0.0.1:9", "--host http://127.0.0.1:9: cannot be reached (NewConnection)"),
        ("kubeflow", "--host kubeflow: is no address"),
    ],
)
def test_a_cluster_that_is_not_there_is_said_in_a_sentence(host, said, capsys):
    assert main(["pipeline", "submit", "debug", "--host", host]) == 1
    assert said in capsys.readouterr().err


if __name__ == "__main__":
    for each in SHAPES:
        yaml_file = DOCS / f"{each}.yaml"
        yaml_file.write_text(compiled(each, yaml_file), encoding="utf-8")
        (DOCS / f"{each}.svg").write_bytes(draw(yaml_file))
