"""Keywords: marks that programs and people invent, beside the system flags.

What it keeps true: the messages of a mailbox bear at most MOST different keywords, and one keyword is spelled one way in
it, the first it was given with; case does not distinguish. The text of a placement has them sorted, one space apart.

Standards: RFC 9051 §2.3.2 (keywords are atoms, matched without case; a mailbox may limit them).
"""

from collections.abc import Iterable

import sqlalchemy as sa

from vaguemestre.mailstore.model import KeywordError, TooManyKeywordsError
from vaguemestre.storage.bulk import Statement

MOST = 100
LONGEST = 64

_SPECIALS = frozenset('(){%*"\\]')
_USED = Statement("SELECT DISTINCT keywords FROM placements WHERE mailbox_id = {value} AND keywords <> ''")


class Vocabulary:
    """The keywords that a mailbox knows, while a verb is under way; `changed` says whether `text` is to be written."""

    def __init__(self, connection: sa.Connection, mailbox_id: int, text: str) -> None:
        self._connection = connection
        self._mailbox_id = mailbox_id
        self._spelled = {keyword.lower(): keyword for keyword in text.split()}
        self._named: set[str] = set()  # by what is under way: they stand in no row yet
        self._pruned = False
        self.changed = False

    @property
    def text(self) -> str:
        """What the mailbox's row holds, in the order in which they came."""
        return " ".join(self._spelled.values())

    def known(self, keywords: Iterable[str]) -> set[str]:
        """Those that the mailbox knows, as it spells them. Raises KeywordError."""
        return {self._spelled[key] for key in map(_folded, keywords) if key in self._spelled}

    def learn(self, keywords: Iterable[str]) -> set[str]:
        """All of them, as the mailbox spells them from now on. Raises KeywordError, TooManyKeywordsError."""
        learnt = set()
        for keyword in sorted(keywords):
            key = _folded(keyword)
            if key not in self._spelled:
                self._make_room()
                self._spelled[key] = keyword
                self.changed = True
            self._named.add(key)
            learnt.add(self._spelled[key])
        return learnt

    def _make_room(self) -> None:
        if len(self._spelled) < MOST:
            return
        if not self._pruned:  # once a verb: rows do not change meanwhile
            self._pruned = True
            used = {keyword for row in _USED.run(self._connection, self._mailbox_id) for keyword in row[0].split()}
            kept = {key: keyword for key, keyword in self._spelled.items() if keyword in used or key in self._named}
            self._spelled = kept
        if len(self._spelled) >= MOST:
            raise TooManyKeywordsError(MOST)


def valid(keyword: str) -> bool:
    """Whether this can be a keyword."""
    try:
        return bool(_folded(keyword))
    except KeywordError:
        return False


def joined(keywords: Iterable[str]) -> str:
    """The text a placement has."""
    return " ".join(sorted(keywords))


def _folded(keyword: str) -> str:
    printable = keyword.isascii() and all(" " < letter < "\x7f" and letter not in _SPECIALS for letter in keyword)
    if not printable or not 1 <= len(keyword) <= LONGEST:
        raise KeywordError(LONGEST)
    return keyword.lower()
