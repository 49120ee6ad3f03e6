"""Several nodes in one process, run as `ros2 run` does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from importlib.util import find_spec

import pytest
import rclpy
from lifecycle_msgs.srv import GetState
from touchline_ros.together import NODES, ThreadEach


def together(*arguments: str, **options) -> subprocess.Popen[str]:
    program = "import sys; from touchline_ros.together import main; sys.exit(main())"
    return subprocess.Popen([sys.executable, "-c", program, *arguments], text=True, **options)


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ("guard,policy", "the guard runs alone, as a node that hangs would hang it too"),
        ("policy,dancer", "there is no node 'dancer'; there are event_detector, policy"),
        ("policy,policy", "policy is named twice"),
    ],
)
def test_nodes_that_cannot_share_a_process_are_refused_in_one_sentence(nodes: str, why: str):
    process = together("--nodes", nodes, stderr=subprocess.PIPE)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert why in said
    assert "Traceback" not in said


def test_every_node_of_one_process_answers_and_ends_with_it(world, tmp_path):
    nodes = [node for node in NODES if find_spec(f"touchline_ros.{node}")]
    asker = world.add(rclpy.create_node("asker", context=world.context))
    with (tmp_path / "said").open("w") as said:
        process = together(
            "--nodes",
            ",".join(nodes),
            "--ros-args",
            "-r",
            "__ns:=/robot1",
            stdout=said,
            stderr=said,
            env=dict(os.environ),
        )
        try:
            clients = {node: asker.create_client(GetState, f"/robot1/{node}/get_state") for node in nodes}
            world.until(lambda: all(client.service_is_ready() for client in clients.values()), 60)
            asked = [client.call_async(GetState.Request()) for client in clients.values()]
            world.until(lambda: all(answer.done() for answer in asked))
            assert {answer.result().current_state.label for answer in asked} == {"unconfigured"}
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0, (tmp_path / "said").read_text()
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_node_that_blocks_leaves_the_others_alone_and_one_that_fails_is_heard(world):
    spinner = ThreadEach(context=world.context)
    slow, quick = (rclpy.create_node(name, context=world.context) for name in ("slow", "quick"))
    free, ticks = threading.Event(), []
    slow.create_timer(0.01, lambda: free.wait(30))
    quick.create_timer(0.01, lambda: ticks.append(1))
    spinner.add_node(slow)
    spinner.add_node(quick)
    end = time.monotonic() + 15
    while len(ticks) < 20:
        assert time.monotonic() < end
        spinner.spin_once(0.05)
    quick.create_timer(0.01, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        spinner.spin_once(15)
    free.set()
    spinner.shutdown()
    for node in (slow, quick):
        node.destroy_node()
