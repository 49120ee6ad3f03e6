import pytest

from edge.web.access import MOST_ADDRESSES, SESSION_SECONDS, TRIES, TRY_SECONDS, Gate


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def gate(clock):
    return Gate("t0ken", clock)


class TestToken:
    def test_is_known_whole_only(self, gate):
        assert gate.knows("t0ken")
        assert not any(map(gate.knows, ("", "t0ke", "t0ken ", "T0KEN", "\udce4".encode(errors="replace").decode())))


class TestCookie:
    def test_admits_until_its_time_is_over(self, gate, clock):
        cookie = gate.cookie()
        assert gate.admits(cookie)
        clock.now += SESSION_SECONDS + 1
        assert not gate.admits(cookie)

    def test_does_not_hold_the_token(self, gate):
        assert "t0ken" not in gate.cookie()

    def test_is_no_other_tokens(self, gate, clock):
        assert not Gate("another", clock).admits(gate.cookie())

    @pytest.mark.parametrize(
        "change", [lambda c: f"9{c}", lambda c: c[:-1], lambda c: c[:0], lambda c: c[:0] + "..", lambda c: f"{c}é"]
    )
    def test_that_was_changed_is_none(self, gate, change):
        assert not gate.admits(change(gate.cookie()))


class TestPause:
    def test_comes_after_many_wrong_tries_and_ends(self, gate, clock):
        for _ in range(TRIES):
            assert gate.pause("1.2.3.4") == 0
            gate.wrong("1.2.3.4")
        assert 0 < gate.pause("1.2.3.4") <= TRY_SECONDS
        assert gate.pause("5.6.7.8") == 0
        clock.now += TRY_SECONDS
        assert gate.pause("1.2.3.4") == 0

    def test_of_many_addresses_takes_bounded_memory(self, gate):
        for number in range(2 * MOST_ADDRESSES):
            gate.wrong(f"host-{number}")
        assert len(gate._wrong) == MOST_ADDRESSES
