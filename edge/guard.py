"""The guard between a learned policy and the wheels: whatever is proposed, what goes out is safe or zero."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """What a guard is doing; the numbers are those of the ROS message PolicyState."""

    INACTIVE = 0
    WAITING = 1
    ARMED = 2
    RAMPING = 3
    STOPPED = 4


@dataclass(frozen=True)
class Command:
    """A velocity for a differential drive: forward in m/s, counter-clockwise in rad/s (REP 103); no other axis."""

    linear_mps: float = 0.0
    angular_radps: float = 0.0


ZERO = Command()
ROUNDING = 1e-6
"""m/s and rad/s by which a limit may be exceeded without being counted: models answer in single precision."""
PRESSED, SILENT = "the emergency stop is pressed", "the emergency stop says nothing"


@dataclass(frozen=True)
class Proposal:
    """A velocity that a policy wants, and the time stamp, in its clock's seconds, of the observation that it answers.

    `others` are the velocities of all other axes, which must be exactly zero.
    """

    linear_mps: float
    angular_radps: float
    stamp_seconds: float
    others: tuple[float, ...] = ()


@dataclass(frozen=True)
class Limits:
    """The envelope, and how long a guard trusts silence; the defaults are the object tracker's at 10 Hz.

    Speeding up and turning are limited in acceleration and jerk; slowing down by a proposal in the same way; a stop
    goes at the `stop_` decelerations at once. The longest time from the last proposal to zero is
    (1 + `hold_periods`) * `period_seconds` + the ramp, by default 0.15 + 0.02 s; the guard's own tick comes on top.

    A proposal may answer an observation of at most `age_periods`, and `future_seconds` ahead of the clock. The guard
    stops for good at `bad_of_ten` missing, or clamped, proposals of ten. It arms after `clean_periods` healthy ones,
    and sends zeros for `zeros_seconds` before it is silent. With `estop_seconds` above 0 an emergency stop has to say
    that it is released at least that often.
    """

    period_seconds: float = 0.1
    linear_least_mps: float = 0.0
    linear_most_mps: float = 0.1
    angular_most_radps: float = 0.6
    linear_acceleration: float = 0.5
    angular_acceleration: float = 3.0
    linear_jerk: float = 5.0
    angular_jerk: float = 30.0
    stop_linear: float = 5.0
    stop_angular: float = 30.0
    hold_periods: float = 0.5
    age_periods: float = 2.0
    future_seconds: float = 0.05
    bad_of_ten: int = 3
    clean_periods: int = 10
    zeros_seconds: float = 0.5
    estop_seconds: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not math.isfinite(value) or (value < 0 and name != "linear_least_mps"):
                msg = f"{name}: is {value:g}; it must be finite and not negative"
                raise ValueError(msg)
        for name in (
            "period_seconds", "linear_acceleration", "angular_acceleration", "linear_jerk", "angular_jerk",
            "stop_linear", "stop_angular",
        ):  # fmt: skip
            if getattr(self, name) == 0:
                msg = f"{name}: must be above 0"
                raise ValueError(msg)
        if not self.linear_least_mps <= 0 <= self.linear_most_mps:
            msg = "linear_least_mps and linear_most_mps: zero must lie between them, or the robot could not stand"
            raise ValueError(msg)
        if self.hold_periods > 1:
            msg = f"hold_periods: is {self.hold_periods:g}; a missing proposal is held for at most 1 period"
            raise ValueError(msg)
        if not (1 <= self.bad_of_ten <= 10 and self.clean_periods >= 1):
            msg = "bad_of_ten must be 1 to 10, clean_periods at least 1"
            raise ValueError(msg)


@dataclass
class Axis:
    """One velocity on its way to a target, with limited acceleration and jerk, never beyond its bounds."""

    least: float
    most: float
    acceleration: float
    jerk: float
    stop: float
    velocity: float = 0.0
    rate: float = 0.0

    def toward(self, target: float, seconds: float) -> None:
        """Move on for `seconds`.

        The rate of change stays so small that jerk alone can end it before the target: at rate a that takes
        a dt now and at most a^2 / 2j later, so a <= j (sqrt(dt^2 + 2 distance / j) - dt).
        """
        if seconds <= 0:
            return
        distance = target - self.velocity
        reach = self.jerk * (math.sqrt(seconds**2 + 2 * abs(distance) / self.jerk) - seconds)
        wanted = math.copysign(min(self.acceleration, reach, abs(distance) / seconds), distance)
        change = self.jerk * seconds
        self.rate = min(max(wanted, self.rate - change), self.rate + change)
        self.velocity = min(max(self.velocity + self.rate * seconds, self.least), self.most)

    def brake(self, seconds: float) -> None:
        """Go toward zero at the stop deceleration, without regard to jerk."""
        self.rate = 0.0
        self.velocity = math.copysign(max(0.0, abs(self.velocity) - self.stop * max(0.0, seconds)), self.velocity)


def axes(limits: Limits) -> tuple[Axis, Axis]:
    """Make the two velocities, m/s and rad/s, that move within an envelope; both stand still."""
    linear = Axis(
        limits.linear_least_mps, limits.linear_most_mps, limits.linear_acceleration, limits.linear_jerk,
        limits.stop_linear,
    )  # fmt: skip
    angular = Axis(
        -limits.angular_most_radps, limits.angular_most_radps, limits.angular_acceleration, limits.angular_jerk,
        limits.stop_angular,
    )  # fmt: skip
    return linear, angular


class Guard:
    """Takes proposals, gives commands: `propose` as they come, `step` at the guard's own steady rate.

    All `now_seconds` are of one monotonic clock of the caller's. It has no thread and does no I/O. A stop latches;
    only `reset` ends it. `reason` says in words why it is not moving as proposed.
    """

    _fresh: float | None
    _latched: bool
    _leaving: bool
    _quiet: bool

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.state = State.INACTIVE
        self.reason = ""
        self.clamped = self.refused = self.missed = 0
        """Proposals cut to the envelope, proposals refused, and periods without one, since activation."""
        self.age_seconds = 0.0
        """Of the observation behind the latest accepted proposal, when that came."""
        self._estop_pressed, self._estop_heard = False, -math.inf
        self._begin()

    def activate(self, now_seconds: float) -> None:
        """Begin to listen; silent until armed."""
        self._begin()
        self.clamped = self.refused = self.missed = 0
        self.state, self.reason = State.WAITING, f"needs {self.limits.clean_periods} healthy periods"
        self._stepped = now_seconds
        if self._estop_pressed:
            self.stop(PRESSED)

    def stop(self, reason: str) -> None:
        """Ramp down, then zeros, until a reset; the first reason stays."""
        if self.state in (State.ARMED, State.RAMPING) and not self._latched:
            self.state, self.reason, self._latched = State.RAMPING, reason, True
        elif self.state == State.WAITING:
            self.state, self.reason, self._latched = State.STOPPED, reason, True

    def deactivate(self, reason: str = "deactivated") -> None:
        """Stop, and after the zeros be silent: go on with `step` until it returns None."""
        self.stop(reason)
        self._leaving = True
        if self.state == State.STOPPED and self._quiet:
            self.state = State.INACTIVE

    def reset(self, now_seconds: float, hindrance: str = "") -> str | None:
        """End a stop, if the inputs are healthy and nothing else hinders; else say why not.

        It moves again only after `clean_periods` healthy periods.
        """
        if self.state != State.STOPPED:
            return f"nothing to reset: the guard is {self.state.name.lower()}"
        if hindrance:
            return hindrance
        if why := self._estop(now_seconds):
            return why
        if self._fresh is None or now_seconds - self._fresh > 2 * self.limits.period_seconds:
            return "no healthy proposals come in; is the policy running?"
        self._latched, self._quiet, self._clean = False, True, 0
        self.state, self.reason = State.WAITING, f"needs {self.limits.clean_periods} healthy periods"
        return None

    def estop(self, now_seconds: float, *, pressed: bool) -> None:
        """Hear the emergency stop, pressed or released."""
        self._estop_heard, self._estop_pressed = now_seconds, pressed
        if pressed:
            self.stop(PRESSED)

    def propose(self, proposal: Proposal, now_seconds: float, clock_seconds: float) -> str | None:
        """Take a proposal that came at `now_seconds`, or say why it is refused.

        `clock_seconds` is the time now on the clock of the proposal's stamp.
        """
        wrong = self._wrong(proposal, clock_seconds - proposal.stamp_seconds)
        if wrong:
            self.refused += 1
            self._clean = 0
            return wrong
        self.age_seconds = clock_seconds - proposal.stamp_seconds
        self._stamp = proposal.stamp_seconds
        limits = self.limits
        linear = min(max(proposal.linear_mps, limits.linear_least_mps), limits.linear_most_mps)
        angular = min(max(proposal.angular_radps, -limits.angular_most_radps), limits.angular_most_radps)
        excess = max(abs(linear - proposal.linear_mps), abs(angular - proposal.angular_radps))
        cut = excess > ROUNDING or any(proposal.others)
        self.clamped += cut
        self._clamps.append(cut)
        self._target = Command(linear, angular)
        self._fresh = self._due = now_seconds
        self._misses.append(False)
        self._clean = 0 if cut else self._clean + 1
        moving = self.state in (State.ARMED, State.RAMPING)
        if moving and sum(self._clamps) >= limits.bad_of_ten:
            self.stop(f"{sum(self._clamps)} of {len(self._clamps)} proposals were outside the envelope")
        elif moving and not self._latched:
            self.state, self.reason = State.ARMED, ""
        elif self.state == State.WAITING:
            self._arm(now_seconds)
        return None

    def step(self, now_seconds: float) -> Command | None:
        """Give the command for now; None means: send nothing."""
        seconds, self._stepped = max(0.0, now_seconds - self._stepped), now_seconds
        if self.state == State.INACTIVE:
            return None
        self._count_misses(now_seconds)
        if self.state == State.WAITING:
            return None
        if why := self._estop(now_seconds):
            self.stop(why)
        # A guard that was late itself must not jump: it moves on by one period at most.
        self._move(min(seconds, self.limits.period_seconds))
        if self.state == State.RAMPING and self._latched and self._command() == ZERO:
            self.state, self._zero_since, self._quiet = State.STOPPED, now_seconds, False
        if self.state == State.STOPPED and self._leaving and self._zeros_over(now_seconds):
            self.state = State.INACTIVE
            return None
        return None if self.state == State.STOPPED and self._quiet else self._command()

    def _begin(self) -> None:
        self._linear, self._angular = axes(self.limits)
        self._target = ZERO
        self._stamp = -math.inf
        self._fresh = None
        self._due = self._stepped = 0.0
        self._misses: deque[bool] = deque(maxlen=10)
        self._clamps: deque[bool] = deque(maxlen=10)
        self._clean = 0
        self._latched = self._leaving = False
        self._quiet = True
        self._zero_since = 0.0

    def _wrong(self, proposal: Proposal, age_seconds: float) -> str | None:
        numbers = (proposal.linear_mps, proposal.angular_radps, *proposal.others, age_seconds)
        if self.state == State.INACTIVE:
            return "the guard is not active"
        if not all(map(math.isfinite, numbers)):
            self.stop("a proposal was not finite")
            return "is not finite"
        if age_seconds < -self.limits.future_seconds:
            return f"is stamped {-age_seconds:.3f} s in the future"
        if age_seconds > self.limits.age_periods * self.limits.period_seconds:
            return f"answers an observation of {age_seconds:.3f} s ago"
        if proposal.stamp_seconds <= self._stamp:
            return "answers an observation that was answered before"
        return None

    def _estop(self, now_seconds: float) -> str | None:
        if self._estop_pressed:
            return PRESSED
        if 0 < self.limits.estop_seconds < now_seconds - self._estop_heard:
            return SILENT
        return None

    def _arm(self, now_seconds: float) -> None:
        """Arm after enough healthy periods, with an emergency stop that is heard where there is one."""
        if why := self._estop(now_seconds):
            self.reason = why
        elif self._clean >= self.limits.clean_periods:
            self._misses.clear()
            self._clamps.clear()
            self.state, self.reason = State.ARMED, ""

    def _count_misses(self, now_seconds: float) -> None:
        """Count a miss for each period that is over, the held part included, without a proposal."""
        if self._fresh is None or self.state == State.STOPPED:
            return
        period = self.limits.period_seconds
        late = now_seconds - self._due - self.limits.hold_periods * period
        count = max(0, int(late / period))
        if not count:
            return
        self._due += count * period
        self.missed += count
        self._misses.extend([True] * min(count, 10))
        self._clean = 0
        if self.state == State.ARMED:
            self.state, self.reason = State.RAMPING, "a proposal is missing"
        if self.state == State.RAMPING and sum(self._misses) >= self.limits.bad_of_ten:
            self.stop(f"{sum(self._misses)} of {len(self._misses)} proposals were missing")

    def _move(self, seconds: float) -> None:
        if self.state == State.ARMED:
            self._linear.toward(self._target.linear_mps, seconds)
            self._angular.toward(self._target.angular_radps, seconds)
        else:
            self._linear.brake(seconds)
            self._angular.brake(seconds)

    def _command(self) -> Command:
        return Command(self._linear.velocity + 0.0, self._angular.velocity + 0.0)

    def _zeros_over(self, now_seconds: float) -> bool:
        return now_seconds - self._zero_since >= self.limits.zeros_seconds
