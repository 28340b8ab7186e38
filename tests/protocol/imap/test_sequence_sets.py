"""Sequence sets and windows mean the numbers that the standard says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.imap.sequence_sets import STAR, Partial, SequenceSet, merged

RANGES = st.lists(
    st.tuples(st.integers(1, 30), st.integers(1, 30)).map(lambda pair: (min(pair), max(pair))), max_size=9
)


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for low, high in ranges for number in range(low, high + 1)}


@pytest.mark.parametrize(
    ("ranges", "maximum", "resolved"),
    [
        ([(1, 1)], 5, [(1, 1)]),
        ([(1, STAR)], 5, [(1, 5)]),
        ([(STAR, STAR)], 5, [(5, 5)]),
        ([(559, STAR)], 5, [(5, 5)]),
        ([(3, STAR), (1, 1)], 5, [(1, 1), (3, 5)]),
        ([(2, 3), (4, 7), (6, 6)], 5, [(2, 7)]),
        ([(9, 9)], 5, [(9, 9)]),
        ([(1, STAR)], 0, []),
        ([(1, 2), (STAR, STAR)], 0, [(1, 2)]),
    ],
)
def test_a_star_is_the_last_message_there_is(
    ranges: list[tuple[int, int]], maximum: int, resolved: list[tuple[int, int]]
) -> None:
    assert SequenceSet(tuple(ranges)).resolve(maximum) == resolved


@given(RANGES)
def test_merged_ranges_hold_the_same_numbers_apart_and_ascending(ranges: list[tuple[int, int]]) -> None:
    found = merged(ranges)
    assert numbers(found) == numbers(ranges)
    assert all(before[1] + 1 < after[0] for before, after in pairwise(found))


@pytest.mark.parametrize(
    ("window", "shown"),
    [
        (Partial(1, 3), [0, 1, 2]),
        (Partial(3, 1), [0, 1, 2]),
        (Partial(9, 30), [8, 9]),
        (Partial(11, 20), []),
        (Partial(-1, -3), [7, 8, 9]),
        (Partial(-3, -1), [7, 8, 9]),
        (Partial(-9, -30), [0, 1]),
        (Partial(-11, -20), []),
    ],
)
def test_a_window_counts_from_the_oldest_or_the_newest(window: Partial, shown: list[int]) -> None:
    assert list(range(10))[window.window(10)] == shown
    assert list(range(0))[window.window(0)] == []
