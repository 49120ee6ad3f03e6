"""The guard: what it lets through, how soon it is at zero, and that nothing it says is ever outside the envelope."""

from __future__ import annotations

import itertools
import math
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.guard import PRESSED, SILENT, ZERO, Command, Guard, Limits, Proposal, State

TICK = 0.02
LIMITS = Limits()
FORWARD = (0.1, 0.3)


class Rig:
    """A guard with a clock: `run` steps it at its own rate, with proposals every period, and keeps what it said."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.guard, self.now, self.said = Guard(limits), 100.0, []
        self.guard.activate(self.now)

    def propose(self, linear: float = 0.1, angular: float = 0.0, age: float = 0.02, **more) -> str | None:
        return self.guard.propose(Proposal(linear, angular, self.now - age, **more), self.now, self.now)

    def run(self, seconds: float, wanted: tuple[float, float] | None = FORWARD, step: float = TICK) -> list:
        said, period = [], self.guard.limits.period_seconds
        for k in range(round(seconds / step)):
            if wanted is not None and k % round(period / step) == 0:
                self.propose(*wanted)
            said.append(self.guard.step(self.now))
            self.now += step
        self.said += said
        return said

    def arm(self) -> Rig:
        self.run(1.0)
        assert self.guard.state == State.ARMED
        return self


def test_it_is_silent_until_ten_healthy_periods_have_passed():
    rig = Rig()
    assert set(rig.run(0.88)) == {None}
    assert rig.guard.state == State.WAITING
    assert rig.guard.reason == "needs 10 healthy periods"
    rig.run(0.1)
    assert rig.guard.state == State.ARMED
    assert rig.guard.reason == ""


def test_before_activation_nothing_goes_in_or_out():
    guard = Guard()
    assert guard.propose(Proposal(0.1, 0, 0), 0, 0) == "the guard is not active"
    assert guard.step(1.0) is None
    guard.stop("whatever")
    assert guard.state == State.INACTIVE


def test_what_is_proposed_is_reached_within_acceleration_and_jerk():
    rig = Rig()
    rig.run(3.0)
    said = [ZERO, *(command for command in rig.said if command is not None)]
    assert said[-1] == Command(*FORWARD)
    check_motion(said, TICK)


def test_the_last_proposal_is_held_for_half_a_period_then_it_ramps_down_and_is_at_zero_in_time():
    rig = Rig().arm()
    rig.run(1.0)
    rig.propose(*FORWARD)
    said = rig.run(0.4, None)
    last = max(k * TICK for k, command in enumerate(said) if command != ZERO)
    assert 0.13 <= last <= 0.15 + 0.02 + TICK  # one period, half a period held, the ramp, one tick
    assert said[5] == Command(*FORWARD)


def test_one_missing_proposal_is_forgiven_three_of_ten_are_not():
    rig = Rig().arm()
    rig.run(0.2, None)
    assert (rig.guard.state, rig.guard.reason) == (State.RAMPING, "a proposal is missing")
    rig.run(0.1)
    assert rig.guard.state == State.ARMED
    rig.run(0.5, None)
    assert rig.guard.reason == "3 of 4 proposals were missing"
    assert rig.run(1.0)[-1] == ZERO
    assert rig.guard.state == State.STOPPED


@pytest.mark.parametrize("step", [0.005, 0.02, 0.07])
def test_a_stop_ramps_at_its_deceleration_and_then_says_zero_for_as_long_as_it_is_stopped(step):
    rig = Rig()
    rig.run(3.0, step=step)
    if rig.guard.state != State.ARMED:
        pytest.fail("not armed")
    rig.guard.stop("told to")
    said = rig.run(1.0, None, step=step)
    assert said[-1] == ZERO
    for before, after in itertools.pairwise(said):
        assert abs(before.linear_mps) - abs(after.linear_mps) <= LIMITS.stop_linear * step + 1e-9
        assert abs(before.angular_radps) - abs(after.angular_radps) <= LIMITS.stop_angular * step + 1e-9
    assert rig.guard.reason == "told to"


def test_only_a_reset_with_healthy_inputs_ends_a_stop_and_ten_periods_pass_again():
    rig = Rig().arm()
    assert rig.guard.reset(rig.now) == "nothing to reset: the guard is armed"
    rig.guard.stop("told to")
    rig.guard.stop("told again")
    rig.run(1.0, None)
    assert rig.guard.reason == "told to"
    assert rig.guard.reset(rig.now) == "no healthy proposals come in; is the policy running?"
    rig.run(0.5)
    assert rig.guard.state == State.STOPPED
    assert rig.guard.reset(rig.now, "the disk is full") == "the disk is full"
    assert rig.guard.reset(rig.now) is None
    assert set(rig.run(0.88)) == {None}
    rig.run(0.2)
    assert rig.guard.state == State.ARMED


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"age": 0.21}, "answers an observation of 0.210 s ago"),
        ({"age": -0.06}, "is stamped 0.060 s in the future"),
        ({"age": 0.16}, "answers an observation that was answered before"),
    ],
)
def test_stale_future_and_repeated_proposals_are_refused(wrong, said):
    rig = Rig().arm()
    assert rig.propose(age=0.05) is None
    assert rig.propose(**wrong) == said
    assert rig.guard.refused == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", ["linear", "angular", "others"])
def test_what_is_not_finite_stops_for_good(bad, place):
    rig = Rig().arm()
    assert rig.propose(**{place: (bad,) if place == "others" else bad}) == "is not finite"
    assert rig.run(0.2, None)[-1] == ZERO
    assert (rig.guard.state, rig.guard.reason) == (State.STOPPED, "a proposal was not finite")


def test_what_is_outside_the_envelope_is_cut_and_three_of_ten_stop():
    rig = Rig().arm()
    rig.run(0.1, (5.0, 0.0))
    assert (rig.guard.state, rig.guard.clamped) == (State.ARMED, 1)
    rig.run(0.1, (0.1, -9.0))
    rig.propose(0.1, 0.0, others=(0.0, 0.2))
    assert rig.guard.reason == "3 of 3 proposals were outside the envelope"
    assert rig.run(0.2, None)[-1] == ZERO


def test_the_emergency_stop_outranks_all_and_its_silence_is_a_stop():
    rig = Rig(Limits(estop_seconds=0.5))
    rig.run(2.0)
    assert (rig.guard.state, rig.guard.reason) == (State.WAITING, SILENT)
    rig.guard.estop(rig.now, pressed=False)
    rig.run(0.2)
    assert rig.guard.state == State.ARMED
    rig.run(0.6)
    assert rig.guard.reason == SILENT
    assert rig.guard.state == State.STOPPED
    assert rig.guard.reset(rig.now) == SILENT
    rig.guard.estop(rig.now, pressed=True)
    assert rig.guard.reset(rig.now) == PRESSED
    rig.guard.estop(rig.now, pressed=False)
    assert rig.guard.reset(rig.now) is None


def test_an_emergency_stop_that_is_pressed_before_activation_holds():
    guard = Guard()
    guard.estop(1.0, pressed=True)
    guard.activate(2.0)
    assert (guard.state, guard.reason) == (State.STOPPED, PRESSED)
    assert guard.step(3.0) is None


def test_deactivation_ends_with_half_a_second_of_zeros_and_silence():
    rig = Rig().arm()
    rig.run(1.0)
    rig.guard.deactivate()
    said = rig.run(1.0, None)
    zeros = said.count(ZERO)
    assert LIMITS.zeros_seconds <= zeros * TICK <= LIMITS.zeros_seconds + 2 * TICK
    assert said[-1] is None
    assert rig.guard.state == State.INACTIVE
    idle = Rig()
    idle.guard.deactivate()
    assert (idle.guard.state, idle.run(0.1)) == (State.INACTIVE, [None] * 5)


def test_a_guard_that_was_late_itself_does_not_jump():
    rig = Rig().arm()
    rig.run(0.1, FORWARD)
    before = rig.guard.step(rig.now)
    assert rig.guard.step(rig.now) == before  # no time has passed at all
    rig.now += 0.1
    rig.propose(*FORWARD)
    after = rig.guard.step(rig.now)
    check_motion([before, after], LIMITS.period_seconds)
    rig.now += 1e9
    assert rig.guard.step(rig.now) is not None
    assert rig.guard.reason == "10 of 10 proposals were missing"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"period_seconds": math.nan}, "period_seconds: is nan; it must be finite and not negative"),
        ({"angular_jerk": -1.0}, "angular_jerk: is -1; it must be finite and not negative"),
        ({"stop_linear": 0.0}, "stop_linear: must be above 0"),
        ({"linear_least_mps": 0.05}, "zero must lie between them"),
        ({"hold_periods": 1.5}, "hold_periods: is 1.5; a missing proposal is held for at most 1 period"),
        ({"bad_of_ten": 0}, "bad_of_ten must be 1 to 10"),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        Limits(**wrong)


def check_motion(said: list, seconds: float) -> None:
    """Look at commands that are `seconds` apart: the envelope, accelerations and jerks, while it is not stopping."""
    rates = []
    for before, after in itertools.pairwise(said):
        assert LIMITS.linear_least_mps <= after.linear_mps <= LIMITS.linear_most_mps
        assert abs(after.angular_radps) <= LIMITS.angular_most_radps
        linear = (after.linear_mps - before.linear_mps) / seconds
        angular = (after.angular_radps - before.angular_radps) / seconds
        assert abs(linear) <= LIMITS.linear_acceleration + 1e-9
        assert abs(angular) <= LIMITS.angular_acceleration + 1e-9
        rates.append((linear, angular))
    for before, after in itertools.pairwise(rates):
        assert abs(after[0] - before[0]) <= LIMITS.linear_jerk * seconds + 1e-9
        assert abs(after[1] - before[1]) <= LIMITS.angular_jerk * seconds + 1e-9


def test_any_sequence_of_targets_keeps_the_envelope_the_acceleration_and_the_jerk():
    rng = random.Random(0)
    rig = Rig().arm()
    said = []
    for _ in range(2000):
        wanted = (rng.choice([0.0, 0.1, rng.uniform(0, 0.1)]), rng.choice([-0.6, 0.6, rng.uniform(-0.6, 0.6)]))
        said += rig.run(LIMITS.period_seconds, wanted)
    assert rig.guard.state == State.ARMED
    assert {c.linear_mps for c in said} > {0.0, 0.1}
    check_motion(said, TICK)


numbers = st.one_of(st.floats(allow_nan=True, allow_infinity=True), st.floats(-0.2, 0.2), st.sampled_from([0.0, 0.1]))
seconds = st.sampled_from([0.0, 0.001, TICK, TICK, TICK, 0.05, 0.1, 0.3, 10.0])


class Machine(RuleBasedStateMachine):
    """Anything in any order; whatever the guard says is in the envelope, and latched stops stay at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.guard, self.now, self.last = Guard(Limits(estop_seconds=5.0)), 0.0, None

    @rule(linear=numbers, angular=numbers, age=st.sampled_from([0.0, 0.05, 0.19, 0.3, -0.04, -0.2, math.nan]))
    def propose(self, linear, angular, age):
        self.guard.propose(Proposal(linear, angular, self.now - age), self.now, self.now)

    @rule(linear=st.floats(0, 0.1), angular=st.floats(-0.6, 0.6), periods=st.integers(1, 15))
    def behave(self, linear, angular, periods):
        for _ in range(periods):
            self.guard.propose(Proposal(linear, angular, self.now), self.now, self.now)
            for _ in range(5):
                self.step(TICK)

    @rule(elapsed=seconds)
    def step(self, elapsed):
        self.now += elapsed
        self.last, before = self.guard.step(self.now), self.last
        if before is not None and self.last is not None and elapsed <= LIMITS.period_seconds:
            change = abs(self.last.linear_mps) - abs(before.linear_mps)
            assert change <= LIMITS.linear_acceleration * elapsed + 1e-9

    @rule(pressed=st.booleans())
    def estop(self, pressed):
        self.guard.estop(self.now, pressed=pressed)

    @rule()
    def stop(self):
        self.guard.stop("told to")

    @rule()
    def reset(self):
        self.guard.reset(self.now)

    @rule()
    def deactivate(self):
        self.guard.deactivate()

    @precondition(lambda self: self.guard.state == State.INACTIVE)
    @rule()
    def activate(self):
        self.guard.activate(self.now)
        self.last = None

    @invariant()
    def the_envelope_holds(self):
        if self.last is not None:
            assert LIMITS.linear_least_mps <= self.last.linear_mps <= LIMITS.linear_most_mps
            assert abs(self.last.angular_radps) <= LIMITS.angular_most_radps

    @invariant()
    def who_is_stopped_stands(self):
        if self.guard.state in (State.STOPPED, State.INACTIVE):
            assert self.guard.step(self.now) in (None, ZERO)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)


@pytest.mark.slow
def test_200_000_fuzzed_proposals_bring_nothing_outside_the_envelope():
    rng = random.Random(1)
    wild = [math.nan, math.inf, -math.inf, 1e308, -1e308, 5e-324, -0.0, 0.1, 0.6, 1.0, -1.0]
    rig, moved = Rig(), 0
    for k in range(200_000):
        if rig.guard.state == State.STOPPED and rng.random() < 0.2:
            rig.guard.reset(rig.now)
        sane = (k // 500) % 2
        linear, angular = (
            (rng.uniform(0, 0.1), rng.uniform(-0.6, 0.6)) if sane else (rng.choice(wild), rng.choice(wild))
        )
        age = 0.02 if sane else rng.choice([0.0, 0.02, 0.5, -1.0, math.nan, math.inf])
        others = () if sane else (rng.choice(wild),)
        rig.propose(linear, angular, age, others=others)
        rig.now += rng.choice([0.02, 0.05, 0.1])
        said = rig.guard.step(rig.now)
        if said is not None:
            moved += said != ZERO
            assert LIMITS.linear_least_mps <= said.linear_mps <= LIMITS.linear_most_mps
            assert abs(said.angular_radps) <= LIMITS.angular_most_radps
    assert moved > 10_000


def test_these_tests_take_every_branch_of_the_guard(tmp_path: Path):
    root = Path(__file__).parent.parent.parent
    data = f"--data-file={tmp_path / 'coverage'}"
    measure = [sys.executable, "-m", "coverage", "run", data, "--branch", f"--include={root / 'edge' / 'guard.py'}"]
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(Path(__file__))]
    choose = ["-k", "not branch and not fuzzed and not TestMachine"]
    ran = subprocess.run([*measure, *tests, *choose], check=False, cwd=root, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    report = [sys.executable, "-m", "coverage", "report", data, "--show-missing", "--fail-under=100"]
    said = subprocess.run(report, check=False, cwd=root, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout
