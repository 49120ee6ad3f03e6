"""A delegate that works, one that kills its process, one that judges otherwise, and libraries that are none."""

from __future__ import annotations

import logging
import subprocess

import numpy as np
import pytest
from brokers import program

from edge.bundle import DEMO, Bundle
from edge.delegate import usable
from edge.pipeline import Pipeline

# The head of TfLiteDelegate (tensorflow/lite/core/c/common.h): data, Prepare, then what is left empty.
SOURCE = """
#include <stdlib.h>
#include <stdio.h>
struct delegate { void *data; int (*prepare)(void *, struct delegate *); void *rest[8]; };
static int prepare(void *context, struct delegate *self) {
    FILE *file = fopen("%(mark)s", "a");
    fputs("prepared\\n", file);
    fclose(file);
    return %(prepared)d;
}
void *tflite_plugin_create_delegate(char **keys, char **values, int count, void (*report)(const char *)) {
    struct delegate *made = calloc(1, sizeof *made);
    made->prepare = prepare;
    %(create)s
    return made;
}
void tflite_plugin_destroy_delegate(void *made) { free(made); }
"""


@pytest.fixture(scope="module")
def bundle():
    return Bundle.load(DEMO)


@pytest.fixture
def library(tmp_path):
    def build(*, prepared=0, create=""):
        source = tmp_path / "delegate.c"
        source.write_text(SOURCE % {"mark": tmp_path / "mark", "prepared": prepared, "create": create})
        subprocess.run([program("gcc"), "-shared", "-fPIC", "-o", str(tmp_path / "lib.so"), str(source)], check=True)
        return str(tmp_path / "lib.so")

    build.mark = tmp_path / "mark"
    return build


def said(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "edge.delegate"]


def test_one_that_works_runs_the_models(library, bundle, caplog):
    path = library()
    assert usable(path, bundle) == path
    tried = library.mark.read_text().count("prepared")
    assert tried >= len(bundle.manifest.models)
    model = bundle.model("rgb", delegate=path)
    assert library.mark.read_text().count("prepared") > tried
    looks = np.zeros((1, *model.input.shape[1:]), np.uint8)
    np.testing.assert_array_equal(model(looks), bundle.model("rgb")(looks))
    assert said(caplog) == []


@pytest.mark.parametrize(
    ("faulty", "reason"),
    [
        ({"prepared": 1}, "not a usable TFLite model"),
        ({"create": "abort();"}, "its trial was ended by signal 6"),
        ({"create": 'report("no device here"); return 0;'}, "no device here"),
    ],
)
def test_one_that_fails_leaves_the_work_to_the_cpu_and_one_line(library, bundle, caplog, faulty, reason):
    path = library(**faulty)
    with caplog.at_level(logging.WARNING):
        Pipeline(bundle, delegate=path)
    (line,) = said(caplog)
    assert line.startswith(f"delegate {path} is not used, the CPU's kernels (XNNPACK) are: ")
    assert reason in line


def test_a_library_that_is_none_is_said(tmp_path, bundle, caplog):
    (tmp_path / "empty.so").write_bytes(b"")
    assert usable(str(tmp_path / "none.so"), bundle) == ""
    assert usable(str(tmp_path / "empty.so"), bundle) == ""
    assert usable("libc.so.6", bundle) == ""
    none, empty, libc = said(caplog)
    assert "none.so: cannot open shared object file" in none
    assert "empty.so: file too short" in empty
    assert "tflite_plugin_create_delegate" in libc


def test_one_that_judges_otherwise_is_not_used(library, bundle, caplog, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for file in bundle.path.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    golden = dict(np.load(other / "golden.npz"))
    name = next(name for name in golden if "scores" in name and "rgb" in name)
    golden[name] = golden[name][..., ::-1]  # as if the device had made them
    np.savez(other / "golden.npz", **golden)
    assert usable(library(), Bundle.read(other)) == ""
    assert "rgb scores of clip" in said(caplog)[0]
    assert "differ by" in said(caplog)[0]
