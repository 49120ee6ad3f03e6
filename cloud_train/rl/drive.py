"""A differential drive whose velocities move as the guard lets them, and one with the whole guard before it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edge.guard import ZERO, Guard, Limits, Proposal, axes

TICK_SECONDS = 0.02
"""The period of the guard's node."""


@dataclass(frozen=True)
class Pose:
    """Where something stands: metres, and radians counter-clockwise from the x axis (REP 103)."""

    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0

    def bearing(self, x: float, y: float) -> float:
        """Tell where a point lies: radians to the left of straight ahead, -pi to pi."""
        return wrapped(math.atan2(y - self.y, x - self.x) - self.heading)

    def distance(self, x: float, y: float) -> float:
        """Tell how far a point is, in metres."""
        return math.hypot(x - self.x, y - self.y)

    def moved(self, linear: float, angular: float, seconds: float) -> Pose:
        """Go on along an arc, exactly: v and w stay the same for so long."""
        turned = angular * seconds
        # The chord of the arc: its length over v t is sin(a/2) / (a/2), its direction lies half-way through the turn.
        chord = linear * seconds * (math.sin(turned / 2) / (turned / 2) if abs(turned) > 1e-9 else 1.0)
        along = self.heading + turned / 2
        heading = wrapped(self.heading + turned)
        return Pose(self.x + chord * math.cos(along), self.y + chord * math.sin(along), heading)


def wrapped(angle: float) -> float:
    """Bring an angle to -pi to pi."""
    return math.remainder(angle, 2 * math.pi)


class Body(Protocol):
    """What carries the wheels: where it is, how fast it moves (m/s, rad/s), and `move` for so many seconds."""

    @property
    def pose(self) -> Pose:
        """Of now."""

    @property
    def velocities(self) -> tuple[float, float]:
        """Of now."""

    def move(self, linear: float, angular: float, seconds: float) -> None:
        """Drive at what the wheels are told."""


@dataclass
class Ideal:
    """A body that moves exactly as its wheels are told, without mass or slip."""

    pose: Pose = Pose()
    velocities: tuple[float, float] = (0.0, 0.0)

    def move(self, linear: float, angular: float, seconds: float) -> None:
        """Go on along an arc."""
        self.velocities = (linear, angular)
        self.pose = self.pose.moved(linear, angular, seconds)


class Drive:
    """A robot's `pose` and velocities; `go` moves it on toward what is asked for, as fast as the envelope allows."""

    def __init__(self, limits: Limits, body: Callable[[], Body] = Ideal) -> None:
        self.limits, self.body = limits, body()
        self.linear, self.angular = axes(limits)

    @property
    def pose(self) -> Pose:
        """Where it is."""
        return self.body.pose

    @property
    def velocities(self) -> tuple[float, float]:
        """Of now: m/s and rad/s."""
        return self.body.velocities

    def go(self, linear: float, angular: float, seconds: float) -> None:
        """Ask for two velocities for so long; what lies outside the envelope is cut."""
        limits = self.limits
        linear = min(max(linear, limits.linear_least_mps), limits.linear_most_mps)
        angular = min(max(angular, -limits.angular_most_radps), limits.angular_most_radps)
        ticks = max(1, round(seconds / TICK_SECONDS))
        for _ in range(ticks):
            self.linear.toward(linear, seconds / ticks)
            self.angular.toward(angular, seconds / ticks)
            self.body.move(self.linear.velocity, self.angular.velocity, seconds / ticks)


class GuardedDrive(Drive):
    """The same robot with the real guard before its wheels, in simulated time: it arms first, stops what is wrong."""

    def __init__(self, limits: Limits, body: Callable[[], Body] = Ideal) -> None:
        super().__init__(limits, body)
        self.guard, self._now = Guard(limits), 0.0
        self.guard.activate(0.0)

    def go(self, linear: float, angular: float, seconds: float) -> None:
        """Propose two velocities and do for so long what the guard commands."""
        self.guard.propose(Proposal(linear, angular, self._now), self._now, self._now)
        ticks = max(1, round(seconds / TICK_SECONDS))
        for _ in range(ticks):
            self._now += seconds / ticks
            command = self.guard.step(self._now) or ZERO
            self.body.move(command.linear_mps, command.angular_radps, seconds / ticks)
