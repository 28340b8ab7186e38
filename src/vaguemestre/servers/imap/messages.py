"""Which messages a command names: sequence numbers, UIDs or the saved result, as the client knows them."""

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

from vaguemestre.protocols.imap.sequence_sets import SAVED, MessageSet
from vaguemestre.servers.imap.errors import AnswerError

if TYPE_CHECKING:
    from vaguemestre.servers.imap.session import Selected, Session


def numbers(
    session: "Session", selected: "Selected", named: MessageSet, *, uid: bool, searched: bool = False
) -> list[int]:
    """The client's sequence numbers of the messages named, ascending.

    UIDs that nobody has are passed over (RFC 9051 §6.4.9), and so are numbers in what is `searched`; else a number above the
    last message is an error.
    """
    picture = selected.picture
    count = picture.count
    if named is SAVED:
        return sorted(number for each in session.saved or () if (number := picture.sequence(each)))
    assert not isinstance(named, type(SAVED))  # noqa: S101 - the one value of its type
    if uid:
        found: list[int] = []
        uids = picture.uids
        for low, high in named.resolve(max(picture.highest_uid(), 1)):
            found += range(bisect_left(uids, low, 0, count) + 1, bisect_right(uids, high, 0, count) + 1)
        return found
    ranges = named.resolve(count)
    if searched:
        ranges = [(max(low, 1), min(high, count)) for low, high in ranges if low <= count]
    elif not ranges or ranges[-1][1] > count or ranges[0][0] < 1:
        raise AnswerError(
            "BAD",
            b"",
            f"There are {count} messages: this number is beyond them.",
            "Ce numéro n'est celui d'aucun message.",
        )
    return [number for low, high in ranges for number in range(low, high + 1)]


def places(selected: "Selected", wanted: list[int]) -> tuple[list[tuple[int, int]], bool]:
    """Number and place in the view of each message, and whether some were expunged since the client was told."""
    picture = selected.picture
    if picture.uids is picture.view.uids:
        return [(number, number - 1) for number in wanted], False
    found = [(number, place) for number in wanted if (place := picture.place(number)) >= 0]
    return found, len(found) != len(wanted)
