"""Distances between words, and the traces by which near ones are found."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.mistakes import allowed, traces, within

_WORDS = st.text(alphabet="abcdefg", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ("martin", "martin", 0),
        ("martin", "matrin", 1),  # exchanged
        ("martin", "marin", 1),  # missing
        ("martin", "marttin", 1),  # added
        ("martin", "mortin", 1),  # replaced
        ("lefebvre", "lefevber", 2),
        ("ab", "ba", 1),
        ("ca", "abc", 3),  # the restricted distance: a pair exchanged is not edited again
    ],
)
def test_mistakes_are_counted(first: str, second: str, distance: int) -> None:
    assert within(first, second, 3) == distance
    assert within(second, first, 3) == distance


def reference(a: str, b: str) -> int:
    """The textbook's table, whole."""
    rows = [[i + j if 0 in (i, j) else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@given(_WORDS, _WORDS, st.integers(0, 3))
def test_the_distance_is_the_textbook_s_and_none_beyond(first: str, second: str, most: int) -> None:
    distance = reference(first, second)
    assert within(first, second, most) == (distance if distance <= most else None)


@given(_WORDS, _WORDS, st.integers(1, 2))
def test_near_words_share_a_trace(first: str, second: str, most: int) -> None:
    if reference(first, second) <= most:
        assert traces(first, most) & traces(second, most)


@given(_WORDS)
def test_traces_follow_the_mistakes_allowed(word: str) -> None:
    assert traces(word) == traces(word, allowed(len(word)))
    assert (len(word) >= 4) == (allowed(len(word)) > 0)
