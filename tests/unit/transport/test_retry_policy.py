"""When to try again: soon at first, then at growing pauses up to an hour, never all at once."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.transport.retry import RetryPolicy


def pauses(attempts: int, scale: float = 1.0, times: int = 200) -> list[float]:
    """Pauses in seconds after so many failures."""
    policy = RetryPolicy(scale=scale)
    return [(policy.next_due(attempts, 5_000_000) - 5_000_000) / 1000 for _ in range(times)]


def test_the_first_retry_comes_within_a_minute_and_a_quarter() -> None:
    assert all(45 <= pause <= 75 for pause in pauses(1))


def test_pauses_grow_to_an_hour_and_no_further() -> None:
    means = [sum(pauses(attempts)) / 200 for attempts in range(1, 8)]
    assert all(one < other for one, other in pairwise(means))
    assert all(2880 <= pause <= 4320 for attempts in (7, 8, 1000) for pause in pauses(attempts))


def test_messages_that_failed_together_are_not_tried_together() -> None:
    for attempts in (1, 5, 20):
        found = pauses(attempts)
        middle = (min(found) + max(found)) / 2
        assert min(found) < 0.9 * middle
        assert max(found) > 1.1 * middle
        assert len(set(found)) > 100


@given(attempts=st.integers(1, 10_000), scale=st.floats(0.0001, 10))
def test_a_retry_is_never_in_the_past_and_scales(attempts: int, scale: float) -> None:
    longest = max(pauses(attempts, scale, 3))
    assert 0 <= longest <= 3600 * 1.2 * scale


def test_the_sender_is_told_before_the_message_is_given_up() -> None:
    policy = RetryPolicy()
    assert 3600 < policy.warn_after < policy.give_up_after <= 5 * 86_400
