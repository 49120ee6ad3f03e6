"""A robot to hurt: the real policy and guard as processes, a camera, and a base that keeps its last velocity."""

from __future__ import annotations

import itertools
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Twist
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger
from touchline_msgs.msg import PolicyState

HERE = Path(__file__).parent
BUNDLE = HERE.parent / "examples" / "policies" / "tracker"
CAMERA_SECONDS = 1 / 20
WIDTH, HEIGHT = 160, 120
KINDS = ("killed", "stopped", "busy", "no camera", "frozen picture", "repeated picture", "late", "not a number")
"""What goes wrong with the policy (kill -9, SIGSTOP, a busy loop, late, NaN scores) or with its camera."""
STALL_SECONDS = 0.06
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass
class FakeBase:
    """A differential drive: it keeps the last velocity until none has come for its own timeout, then stands.

    So do diff_drive_controller and turtlebot3. `metres` and `radians` add up what it has travelled and turned.
    """

    timeout_seconds: float = 0.5
    linear_mps: float = 0.0
    angular_radps: float = 0.0
    heard: float = -math.inf
    now: float = 0.0
    metres: float = 0.0
    radians: float = 0.0

    def hear(self, linear_mps: float, angular_radps: float, now: float) -> None:
        """Take a command."""
        self.move(now)
        self.linear_mps, self.angular_radps, self.heard = linear_mps, angular_radps, now

    def move(self, now: float) -> None:
        """Go on until `now`."""
        seconds = max(0.0, min(now, self.heard + self.timeout_seconds) - self.now)
        self.metres += abs(self.linear_mps) * seconds
        self.radians += abs(self.angular_radps) * seconds
        self.now = now

    @property
    def stands(self) -> bool:
        """Whether it does not move any more."""
        return self.now >= self.heard + self.timeout_seconds or (self.linear_mps == 0 and self.angular_radps == 0)


class Robot:
    """One robot in a namespace of its own; `fail` makes something go wrong, `heal` ends it.

    Its topics are served in a thread; what it knows of time is the monotonic clock.
    """

    def __init__(self, name: str, folder: Path, seed: int = 0) -> None:
        self.name, self._folder, self._rng = name, folder, random.Random(seed)  # noqa: S311
        self.base = FakeBase()
        self.state, self.reason = -1, ""
        self.commands: list[tuple[float, float, float]] = []
        self.guard = self.policy = self._start("guard", "base_timeout:=0.5", "rate_hz:=50.0")
        self.policy = self._start_policy()
        self._camera = "on"
        self._column, self._last = WIDTH // 2, Image()
        self._noise = np.random.default_rng(seed)
        self._context = rclpy.Context()
        rclpy.init(context=self._context)
        self.node = node = Node("robot", namespace=name, context=self._context)
        self._images = node.create_publisher(Image, "image", qos_profile_sensor_data)
        self._faults = node.create_publisher(String, "fault", 1)
        node.create_subscription(Twist, "cmd_vel", self._hear, 10)
        node.create_subscription(PolicyState, "guard/state", self._hear_state, LATCHED)
        self._reset = node.create_client(Trigger, "guard/reset")
        node.create_timer(CAMERA_SECONDS, self._shoot)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(node)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every process and the thread."""
        for process in (self.policy, self.guard):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in (self.policy, self.guard):
            process.wait(20)
        self._ended.set()
        self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self._context)

    def fail(self, kind: str) -> float:
        """Make it go wrong, and tell when."""
        if kind == "killed":
            self.policy.kill()
        elif kind == "stopped":
            self.policy.send_signal(signal.SIGSTOP)
        elif kind in ("busy", "late", "not a number"):
            self._faults.publish(String(data=kind))
        else:
            self._camera = kind
        return time.monotonic()

    def heal(self, kind: str) -> None:
        """Make it go right again."""
        if kind == "killed":
            self.policy.wait()
            self.policy = self._start_policy()
        elif kind == "stopped":
            self.policy.send_signal(signal.SIGCONT)
        elif kind in ("busy", "late", "not a number"):
            self._faults.publish(String(data=""))
        else:
            self._camera = "on"

    def reset(self) -> bool:
        """Ask the guard to end its stop."""
        if not self._reset.service_is_ready():
            return False
        answer = self._reset.call_async(Trigger.Request())
        wait(answer.done, 2.0)
        return bool(answer.done() and answer.result().success)

    def ready(self, seconds: float = 60.0) -> None:
        """Wait until it drives, resetting the guard where it is stopped."""

        def drives() -> bool:
            if self.state == PolicyState.STOPPED:
                self.reset()
            return self.state == PolicyState.ARMED and self.base.linear_mps > 0.09

        if not wait(drives, seconds):
            msg = f"{self.name}: the guard did not arm within {seconds:g} s (state {self.state}: {self.reason})"
            raise RuntimeError(msg)

    def wait_until_it_stands(self, seconds: float = 5.0) -> float:
        """Wait for zero commands that last, and tell when the first came; infinity if none did."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            moving = [at for at, linear, angular in self.commands if linear or angular]
            zeros = [at for at, linear, angular in self.commands if not (linear or angular) and at > max(moving)]
            if zeros and time.monotonic() - zeros[0] > 0.3:
                return zeros[0]
            time.sleep(0.01)
        return math.inf

    def stood_still(self, since: float, until: float) -> bool:
        """Whether the machine did: commands come every 20 ms whatever happens to the policy, and they did not."""
        times = [at for at, _, _ in self.commands if since - 0.1 <= at <= until + 0.1]
        return any(after - before > STALL_SECONDS for before, after in itertools.pairwise(times))

    def _start(self, node: str, *parameters: str, code: str = "") -> subprocess.Popen[bytes]:
        log = (self._folder / f"{self.name}-{node}.log").open("ab")
        options = ["--ros-args", "-r", f"__ns:=/{self.name}", "-p", "autostart:=true", "-p", f"bundle:={BUNDLE}"]
        for parameter in parameters:
            options += ["-p", parameter]
        code = code or f"from touchline_ros.{node} import main; raise SystemExit(main())"
        environment = os.environ | {"ROS_LOG_DIR": str(self._folder), "OPENCV_FOR_THREADS_NUM": "1"}
        with log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *options], stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=HERE
            )

    def _start_policy(self) -> subprocess.Popen[bytes]:
        return self._start("policy", code="from ros_faulty_policy import main; raise SystemExit(main())")

    def _spin(self) -> None:
        while not self._ended.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def _hear(self, message: Twist) -> None:
        now = time.monotonic()
        self.commands = [*self.commands[-500:], (now, message.linear.x, message.angular.z)]
        self.base.hear(message.linear.x, message.angular.z, now)

    def _hear_state(self, message: PolicyState) -> None:
        self.state, self.reason = message.state, message.reason

    def _shoot(self) -> None:
        if self._camera == "no camera":
            return
        if self._camera != "repeated picture":
            if self._camera != "frozen picture":
                self._last = self._picture()
            self._last.header.stamp = self.node.get_clock().now().to_msg()
        self._images.publish(self._last)

    def _picture(self) -> Image:
        """Draw a bright target that wanders, before noise."""
        self._column = min(max(self._column + self._rng.choice((-4, 0, 4)), 20), WIDTH - 20)
        drawn: Any = self._noise.integers(0, 12, (HEIGHT, WIDTH), np.uint8)
        drawn[40:80, self._column - 20 : self._column + 20] = 250
        image = Image(height=HEIGHT, width=WIDTH, encoding="mono8", step=WIDTH)
        image.data.frombytes(drawn.tobytes())
        return image


def wait(holds: Any, seconds: float) -> bool:  # noqa: ANN401 - a function without arguments
    """Wait until it holds; tell whether it does."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True
