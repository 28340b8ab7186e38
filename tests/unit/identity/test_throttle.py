"""Waiting before a sign-in: longer for who fails, never long for anybody else, and nothing gained by haste."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.identity.throttle import ACCOUNT, ADDRESS, PAIR, Slope, Throttle

MARIE, PAUL = "marie@a.mssante.fr", "paul@a.mssante.fr"
HOME, CAFE = "192.0.2.1", "203.0.113.9"


class Watch:
    """A clock that a test moves, in seconds."""

    def __init__(self) -> None:
        self.seconds = 50.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch() -> Watch:
    """The clock of the throttle."""
    return Watch()


@pytest.fixture
def throttle(watch: Watch) -> Throttle:
    """A throttle that remembers nothing yet."""
    return Throttle(watch)


def fail(throttle: Throttle, account: str, address: str, times: int = 1) -> None:
    for _ in range(times):
        throttle.begin(account, address).failed()


def wait(throttle: Throttle, account: str, address: str) -> float:
    attempt = throttle.begin(account, address)
    attempt.abandoned()
    assert attempt.wait is not None
    return attempt.wait


def test_the_first_attempt_and_the_one_after_a_slip_wait_for_nothing(throttle: Throttle) -> None:
    assert wait(throttle, MARIE, HOME) == 0
    fail(throttle, MARIE, HOME)
    assert wait(throttle, MARIE, HOME) == 0


def test_each_failure_makes_the_next_wait_longer_up_to_a_bound(throttle: Throttle) -> None:
    waits = []
    for _ in range(12):
        fail(throttle, MARIE, HOME)
        waits.append(wait(throttle, MARIE, HOME))
    assert waits[:6] == [0, 0.5, 1, 2, 4, 8]
    assert waits == sorted(waits)
    assert waits[-1] == PAIR.most


def test_nobody_is_locked_out_by_who_fails_from_elsewhere(throttle: Throttle) -> None:
    for place in range(200):
        fail(throttle, MARIE, f"198.51.100.{place % 250}", 10)
    assert wait(throttle, MARIE, "198.51.100.1") == PAIR.most
    assert wait(throttle, MARIE, HOME) <= ACCOUNT.most
    assert wait(throttle, PAUL, HOME) == 0


def test_who_signed_in_from_there_lately_waits_for_nobody_else(throttle: Throttle) -> None:
    throttle.begin(MARIE, HOME).succeeded()
    fail(throttle, MARIE, CAFE, 500)
    for number in range(100):
        fail(throttle, f"guess{number}@a.mssante.fr", HOME)
    assert wait(throttle, MARIE, HOME) == 0
    assert 0 < wait(throttle, PAUL, HOME) <= ADDRESS.most


def test_trying_many_accounts_from_one_address_gets_slower(throttle: Throttle) -> None:
    for number in range(ADDRESS.free + 20):
        fail(throttle, f"guess{number}@a.mssante.fr", CAFE)
    assert 0 < wait(throttle, MARIE, CAFE) <= ADDRESS.most
    assert wait(throttle, MARIE, HOME) == 0


def test_a_success_forgives_what_failed_from_there(throttle: Throttle) -> None:
    fail(throttle, MARIE, HOME, 8)
    throttle.begin(MARIE, HOME).succeeded()
    assert wait(throttle, MARIE, HOME) == 0


def test_failures_are_forgotten_with_time(throttle: Throttle, watch: Watch) -> None:
    fail(throttle, MARIE, HOME, 8)
    before = wait(throttle, MARIE, HOME)
    watch.seconds += 901
    halved = wait(throttle, MARIE, HOME)
    assert 0 < halved < before
    watch.seconds += 4 * 901
    assert wait(throttle, MARIE, HOME) == 0


def test_attempts_at_once_count_as_failures_and_are_bounded(throttle: Throttle) -> None:
    under_way = [throttle.begin(MARIE, HOME) for _ in range(140)]
    waits = [each.wait for each in under_way]
    assert waits[:32] == [0] * 32
    assert waits[40] is not None
    assert waits[40] > 1
    assert waits[-1] is None
    for each in under_way:
        each.abandoned()
    assert wait(throttle, MARIE, HOME) == 0


def test_ending_an_attempt_early_does_not_free_from_its_failure(throttle: Throttle) -> None:
    fail(throttle, MARIE, HOME, 5)
    throttle.begin(MARIE, HOME).abandoned()
    assert wait(throttle, MARIE, HOME) == 4


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("fe80::1%eth0", "fe80::2%eth1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("a socket", "a socket", True),
    ],
)
def test_an_address_is_what_one_subscriber_has(throttle: Throttle, one: str, other: str, same: bool) -> None:
    fail(throttle, MARIE, one, 5)
    assert (wait(throttle, MARIE, other) > 0) == same


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 400)), max_size=400))
def test_memory_is_bounded_whoever_tries(tried: list[tuple[int, int]]) -> None:
    throttle = Throttle(Watch(), most_keys=50)
    for account, place in tried:
        attempt = throttle.begin(str(account), str(place))
        attempt.succeeded() if account % 3 == 0 else attempt.failed()
    assert throttle.remembered <= 4 * 50


@given(st.integers(0, 10_000), st.booleans())
def test_a_slope_never_falls_nor_exceeds_its_most(failures: int, doubling: bool) -> None:
    slope = Slope(3, 0.25, 20.0, doubling)
    assert 0 <= slope.wait(failures) <= slope.wait(failures + 1) <= 20.0
