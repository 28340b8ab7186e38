"""Mistakes of a hand on a keyboard: how far two words are from one another, and which words may be near one.

What it keeps true: `within` counts a letter missing, added, replaced, or exchanged with its neighbour as one mistake each;
two words of at most `allowed(…)` mistakes share at least one of their `traces`, so that near words are found by looking
traces up, without comparing with every word there is.

Rules: no mistake is allowed in a word under four letters, where one makes another word; one in words of four to seven;
two in longer ones. Traces are the word's beginning with up to that many letters left out.

F. J. Damerau, A technique for computer detection and correction of spelling errors (1964), in its restricted form (a
pair exchanged is not edited again); deletion neighbourhoods: T. Bocek, E. Hunt, B. Stiller (2007).
"""

from itertools import combinations

SHORTEST, LONG = 4, 8
_TRACED = 8  # a trace is made of this many first letters


def allowed(length: int) -> int:
    """How many mistakes are forgiven in a word of this length."""
    return 0 if length < SHORTEST else 1 if length < LONG else 2


def traces(word: str, mistakes: int | None = None) -> set[str]:
    """What a word shares with those near it: its first letters with up to `mistakes` of them left out."""
    most = allowed(len(word)) if mistakes is None else mistakes
    start = word[:_TRACED]
    found = {start}
    if most:
        found.update([start[:place] + start[place + 1 :] for place in range(len(start))])
    if most > 1:
        found.update([start[:a] + start[a + 1 : b] + start[b + 1 :] for a, b in combinations(range(len(start)), 2)])
    return found


def within(first: str, second: str, most: int) -> int | None:
    """How many mistakes make one word of the other, where that is at most `most`; else None."""
    if first == second:
        return 0
    if abs(len(first) - len(second)) > most:
        return None
    start = 0
    shorter = min(len(first), len(second))
    while start < shorter and first[start] == second[start]:
        start += 1
    end = 0
    while end < shorter - start and first[-1 - end] == second[-1 - end]:
        end += 1
    first, second = first[start : len(first) - end], second[start : len(second) - end]
    if not first or not second:
        return len(first) + len(second)
    return _distance(first, second, most)


def _distance(first: str, second: str, most: int) -> int | None:
    before: list[int] = []
    last = list(range(len(second) + 1))
    previous = ""
    for row, letter in enumerate(first, 1):
        this = [row]
        for column, other in enumerate(second, 1):
            cost = last[column - 1] if letter == other else 1 + min(last[column - 1], last[column], this[-1])
            if column > 1 and row > 1 and letter == second[column - 2] and previous == other:
                cost = min(cost, before[column - 2] + 1)
            this.append(cost)
        if min(this) > most and min(last) > most:
            return None
        before, last, previous = last, this, letter
    return last[-1] if last[-1] <= most else None
