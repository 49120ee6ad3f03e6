"""The sampler: what it writes, that it goes on, and GPUs through NVIDIA's own library where one answers."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from functools import partial

from cloud_train.debugger.place import Folder
from cloud_train.debugger.system import SYSTEM, Sampler, read_samples
from cloud_train.debugger.usage import usage, usage_of

NVML = r"""
#include <string.h>
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned long long total, reserved, free, used; } memory2;
typedef struct { unsigned int gpu, memory; } rates;
int nvmlInitWithFlags(unsigned int f) { return 0; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int e) { return "not supported"; }
int nvmlDeviceGetCount_v2(unsigned int *n) { *n = 2; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int i, void **h) { *h = (void *)(unsigned long)(i + 1); return 0; }
int nvmlDeviceGetMemoryInfo(void *h, memory *m) { m->total = 24000000000ULL; m->used = 6000000000ULL; return 0; }
int nvmlDeviceGetName(void *h, char *s, unsigned int n) { strncpy(s, "NVIDIA A10", n); return 0; }
int nvmlDeviceGetUtilizationRates(void *h, rates *r) {
  if (h == (void *)2) return 3; /* NVML_ERROR_NOT_SUPPORTED, as for a part of a GPU */
  r->gpu = 42; r->memory = 7; return 0;
}
"""
"""A driver's library with two GPUs, one of which has no utilisation: nvidia-ml-py calls it as it calls NVIDIA's."""
CODE = """
import sys
from pathlib import Path
from functools import partial
from cloud_train.debugger.place import Folder
from cloud_train.debugger.system import Sampler
sampler = Sampler(partial(Folder(Path(sys.argv[1])).append, "system.jsonl"), interval_seconds=0.05)
sampler.start()
sampler.stop()
"""


def sampler(folder, **how) -> Sampler:
    return Sampler(partial(Folder(folder).append, SYSTEM), **{"interval_seconds": 0.05, **how})


def test_samples_steps_and_what_else_took_time(tmp_path):
    taking = sampler(tmp_path)
    taking.start()
    for number in range(6):
        time.sleep(0.03)
        taking.step("train", number, 0.03)
    taking.step("eval", 0, 0.5)
    taking.spend("saving", 0.25)
    taking.spend("saving", 0.25)
    taking.stop()
    found = usage(read_samples(tmp_path))
    assert found.steps["train"][0].tolist() == list(range(6))
    assert found.steps["train"][1].tolist() == [0.03] * 6
    assert found.steps["eval"][1].tolist() == [0.5]
    assert found.spent == {"saving": 0.5}
    assert ((found.cpu >= 0) & (found.cpu <= 100)).all()
    assert 0 < found.memory[-1] < 100
    assert 0 < found.process_memory[-1] < 50
    assert found.waited_seconds > 0


def test_children_are_counted_with_what_they_take(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=subprocess.PIPE)
    child.stdout.read(1)
    try:
        taking = sampler(tmp_path, interval_seconds=0.2)
        taking.start()
        time.sleep(1.5)
        taking.stop()
    finally:
        child.kill()
        child.communicate()
    found = usage_of(tmp_path)
    assert found.children.max() >= 1
    assert found.process_cpu[1:].max() > 10


def test_a_line_that_is_half_there_is_left_out(tmp_path):
    taking = sampler(tmp_path)
    taking.start()
    taking.stop()
    whole = len(read_samples(tmp_path))
    with (tmp_path / SYSTEM).open("ab") as file:
        file.write(b'{"time":1.0,"cpu_per')
    assert len(read_samples(tmp_path)) == whole > 0


def test_nothing_was_sampled(tmp_path):
    assert read_samples(tmp_path) == []
    assert usage_of(tmp_path) is None


def test_a_full_disk_ends_the_sampling_and_not_the_training(caplog):
    def append(_line):
        raise OSError(28, "No space left on device")

    taking = Sampler(append, interval_seconds=0.01)
    with caplog.at_level(logging.WARNING):
        taking.start()
        time.sleep(0.1)
        taking.step("train", 0, 0.1)
        taking.stop()
    assert [record.message for record in caplog.records] == [
        "the machine is not sampled any more: [Errno 28] No space left on device"
    ]


def test_lines_are_written_together_where_each_write_is_dear():
    writes = []
    taking = Sampler(writes.append, interval_seconds=0.02, batch=1000)
    taking.start()
    time.sleep(0.3)
    taking.stop()
    assert len(writes) == 1
    assert writes[0].count(b"\n") > 2


def test_gpus_through_the_drivers_library(tmp_path):
    source, library = tmp_path / "nvml.c", tmp_path / "libnvidia-ml.so.1"
    source.write_text(NVML)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    environment = {"LD_LIBRARY_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], check=True, env=environment)
    last = json.loads((tmp_path / SYSTEM).read_text().splitlines()[-1])
    assert last["gpus"] == [
        {"name": "NVIDIA A10", "percent": 42, "memory_bytes": 6_000_000_000, "memory_total_bytes": 24_000_000_000}
    ]
