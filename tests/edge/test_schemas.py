"""The generated documents: valid, fresh, complete, and no older reader stumbles over them."""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from random import Random

import msgspec
import pytest
from jsonschema import Draft7Validator, Draft202012Validator
from versions import breaking_changes, topic_changes

from edge import schemas
from edge.asyncapi import ALL, asyncapi, example
from edge.contract import PARAMETERS, TOPICS
from edge.glossary import FIELDS
from edge.page import page
from edge.samples import SAMPLES
from edge.schemas import documents, records, schema, schema_id, text

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FROZEN = DOCS / "schemas" / "v1"
REFRESH = "run: python -m edge.schemas docs"


@pytest.fixture(scope="session")
def official(tmp_path_factory) -> dict:
    """The schema of AsyncAPI 3.0 documents, by the AsyncAPI project."""
    if shutil.which("npm") is None:
        pytest.fail("npm is not installed: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("asyncapi")
    for file in (ROOT / "tests" / "asyncapi").glob("package*.json"):
        shutil.copy(file, folder)
    quiet = ["--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"]
    ran = subprocess.run(["npm", "ci", *quiet], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads((folder / "node_modules/@asyncapi/specs/schemas/3.0.0.json").read_text())


@pytest.mark.parametrize("name", documents())
def test_each_schema_is_json_schema_2020_12(name):
    Draft202012Validator.check_schema(documents()[name])


@pytest.mark.parametrize("name", ALL)
def test_each_example_fits_its_schema_and_is_a_full_message(name):
    topic = ALL[name]
    if isinstance(topic.payload, tuple):
        assert example(name) in (topic.payload or (example(name),))
    elif topic.payload is not dict:
        assert isinstance(SAMPLES[name], topic.payload)
        Draft202012Validator(schema(topic.payload), format_checker=Draft202012Validator.FORMAT_CHECKER).validate(
            example(name)
        )
        assert msgspec.json.decode(msgspec.json.encode(example(name)), type=topic.payload) == SAMPLES[name]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"seq": "7"}, "'7' is not of type 'integer'"),
        ({"schema": "event/2"}, "'event/2'"),
        ({"type": "begin"}, "'begin'"),
    ],
)
def test_a_schema_refuses_what_the_reader_refuses(change, complaint):
    wrong = {**example("event"), **change}
    (error,) = Draft202012Validator(schema(TOPICS["event"].payload)).iter_errors(wrong)
    assert complaint in error.message


def test_a_schema_takes_keys_that_a_newer_sender_added():
    Draft202012Validator(schema(TOPICS["event"].payload)).validate({**example("event"), "robot": {"x": 1}})


def spoilt(message: dict, random: Random) -> dict:
    """The message with one key, at any depth, gone or holding something else."""
    new = copy.deepcopy(message)
    node = new
    while True:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        if not isinstance(node[key], dict | list) or not node[key] or random.random() < 0.4:
            break
        node = node[key]
    if random.random() < 0.3 and key != "schema":  # which the reader takes for granted
        del node[key]
    else:
        node[key] = random.choice([None, True, 0, -1, 1.5, "x", "", [], {}, [1], ["a"], {"a": 1}, 2**70])
    return new


@pytest.mark.parametrize("name", [name for name, topic in TOPICS.items() if isinstance(topic.payload, type)])
def test_a_schema_and_the_reader_agree_on_what_is_wrong(name):
    random = Random(20261123)
    validator, decoder = Draft202012Validator(schema(TOPICS[name].payload)), msgspec.json.Decoder(TOPICS[name].payload)
    verdicts = set()
    for _ in range(200):
        message = spoilt(example(name), random)
        try:
            decoder.decode(json.dumps(message))
        except msgspec.ValidationError:
            taken = False
        else:
            taken = True
        assert validator.is_valid(message) == taken, message
        verdicts.add(taken)
    assert False in verdicts


def test_every_field_has_a_meaning_and_every_meaning_a_field():
    classes = list(schemas._closure(records()))
    names = {field.name for cls in classes for field in dataclasses.fields(cls)}
    own = {f"{cls.__name__}.{field.name}" for cls in classes for field in dataclasses.fields(cls)}
    assert names <= FIELDS.keys()
    assert {key for key in FIELDS if key not in names | own} == set()


def test_every_record_has_a_version_of_its_own():
    ids = [schema_id(record) for record in records()]
    assert len(set(ids)) == len(ids) == 14


def test_every_level_of_a_topic_is_explained():
    document = asyncapi()
    used = {name for channel in document["channels"].values() for name in channel.get("parameters", ())}
    assert used == PARAMETERS.keys()


@pytest.mark.parametrize("name", documents())
def test_the_schemas_in_the_docs_are_fresh(name):
    assert (DOCS / "schemas" / name).read_text(encoding="utf-8") == text(documents()[name]), REFRESH


def test_no_schema_in_the_docs_is_left_over():
    assert {path.name for path in (DOCS / "schemas").glob("*.json")} == documents().keys()


def test_the_asyncapi_document_in_the_docs_is_fresh():
    assert (DOCS / "asyncapi.json").read_text(encoding="utf-8") == text(asyncapi()), REFRESH


def test_the_asyncapi_document_fits_the_official_schema(official):
    validator = Draft7Validator(official)
    assert [error.message for error in validator.iter_errors(asyncapi())] == []
    broken = copy.deepcopy(asyncapi())
    broken["operations"]["event"]["bindings"]["mqtt"]["qos"] = 3
    assert not validator.is_valid(broken)


def test_the_page_in_the_docs_is_fresh():
    assert (DOCS / "mqtt.md").read_text(encoding="utf-8") == page(asyncapi()), REFRESH


def test_every_reference_in_the_asyncapi_document_leads_somewhere():
    document = asyncapi()

    def walk(value: object) -> int:
        if isinstance(value, dict):
            found = 0
            if isinstance(value.get("$ref"), str):
                target = document
                for level in value["$ref"].removeprefix("#/").split("/"):
                    target = target[level]
                found = 1
            return found + sum(map(walk, value.values()))
        return sum(map(walk, value)) if isinstance(value, list) else 0

    assert walk(document) > 50


@pytest.mark.parametrize("path", sorted(FROZEN.glob("*-*.json")), ids=lambda path: path.name)
def test_no_reader_of_the_released_version_is_broken(path):
    released = json.loads(path.read_text(encoding="utf-8"))
    name, major = released["title"].split("/")
    ours = {document["title"]: document for document in documents().values()}
    if released["title"] in ours:
        assert breaking_changes(released, ours[released["title"]]) == [], "a change like this needs a new major version"
    else:
        assert f"{name}/{int(major) + 1}" in ours, f"{released['title']} is gone without a successor"


def test_no_topic_of_the_released_version_is_gone_or_sent_otherwise():
    released = json.loads((FROZEN / "asyncapi.json").read_text(encoding="utf-8"))
    assert topic_changes(released, asyncapi()) == []


EVENT = schema(TOPICS["event"].payload)


def changed(edit) -> dict:
    new = copy.deepcopy(EVENT)
    edit(new)
    return new


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda s: s["properties"].pop("faults"), "$.faults: is gone"),
        (lambda s: s["properties"].update(name=s["properties"].pop("label")), "$.label: is gone"),
        (lambda s: s["properties"].update(seq={"type": "string"}), "$.seq: type was integer and is string"),
        (lambda s: s["properties"]["start"].pop("format"), "$.start: format was date-time and is open"),
        (lambda s: s["properties"].update(end={"type": "string"}), "$.end: could be one of 2 types and now of 0"),
        (lambda s: s["properties"]["type"].update(enum=["new", "end"]), "$.type: enum was"),
        (lambda s: s["$defs"]["Fusion"]["properties"].pop("winner"), "$.fusion.winner: is gone"),
        (lambda s: s["$defs"]["VoteSummary"]["properties"].pop("score"), "$.fusion.votes.*.score: is gone"),
        (lambda s: s["properties"]["faults"].update(items={"type": "integer"}), "$.faults[]: type was string"),
        (lambda s: s["required"].remove("seq"), "$.seq: had to be there"),
        (lambda s: s["required"].append("late"), "$.late: has to be there"),
        (lambda s: (s["properties"].update(x={}), s["required"].append("x")), "$.x: is new and has to be there"),
    ],
)
def test_a_change_that_breaks_readers_is_caught(edit, sentence):
    found = breaking_changes(EVENT, changed(edit))
    assert any(one.startswith(sentence) for one in found), found


@pytest.mark.parametrize(
    "edit",
    [
        lambda s: s["properties"].update(robot={"type": "object"}),
        lambda s: s["$defs"]["Model"]["properties"].update(url={"type": "string"}),
        lambda s: s["properties"]["seq"].update(description="said better"),
    ],
)
def test_a_change_that_adds_or_explains_is_allowed(edit):
    assert breaking_changes(EVENT, changed(edit)) == []


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (lambda d: d["channels"].pop("label"), "label: is gone"),
        (lambda d: d["channels"]["tick"].update(address="{base}/ticks"), "tick: address was"),
        (lambda d: d["operations"]["status"]["bindings"]["mqtt"].update(retain=False), "status: binding was"),
        (lambda d: d["components"]["messages"]["event"].update(title="event/2"), "event: payload was event/1"),
        (lambda d: d["components"]["messages"]["switch"].update(title="on or off"), "switch: payload was ON or OFF"),
    ],
)
def test_a_topic_that_goes_or_changes_is_caught(edit, sentence):
    new = copy.deepcopy(asyncapi())
    edit(new)
    assert [one[: len(sentence)] for one in topic_changes(asyncapi(), new)] == [sentence]
