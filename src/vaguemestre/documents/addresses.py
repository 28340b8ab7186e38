"""Address lists of message headers, as people write them and as software breaks them, read into (name, address) pairs.

What holds here: nothing raises and the time is linear in the size; names have their encoded words decoded and no
control character; groups give their members and lose their name; what has no `@` is kept as it stands, for people to
see. Nothing here says that an address may be written to.

RFC 5322 §3.4 and §4.4 (obsolete forms), RFC 6532.
"""

import re

from vaguemestre.documents.encoded_words import decode_words

Mailbox = tuple[str, str]
"""A display name, maybe empty, and an address, empty when there is none."""

_SPECIAL = re.compile(r'["(:;\\\[]|=\?')
_QUOTED_PAIR = re.compile(r"\\(.)")
_SPACE = re.compile(r"\s+")
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
# Each alternative stops at its first wrong character and none is tried twice, so reading is linear.
_TOKEN = re.compile(
    r"""
      (?P<quoted>"(?:[^"\\]|\\.)*+"?)
    | (?P<special>[<>,;:(])
    | =\?[^?\s]++\?[bBqQ]\?[^?]*+\?=
    | \[[^\[\]]*+\]?
    | \s++
    | [^\s<>,;:(\\"\[=]++
    | .
    """,
    re.VERBOSE | re.DOTALL,
)
_TOKEN_WITHOUT_QUOTES = re.compile(_TOKEN.pattern.replace('"(', "(?!)("), re.VERBOSE | re.DOTALL)


def read_addresses(value: str) -> tuple[Mailbox, ...]:
    """The mailboxes of an unfolded header value, in order. Never raises."""
    if _SPECIAL.search(value):
        return _Reader().read(value)
    mailboxes: list[Mailbox] = []
    for part in value.split(","):  # the ordinary case: nothing quoted, encoded, commented or grouped
        name, bracket, rest = part.partition("<")
        if not bracket:
            mailbox = _without_brackets(name.strip())
        else:
            address, closed, after = rest.partition(">")
            if not closed or after.strip():
                return _Reader().read(value)
            mailbox = (name.strip(), address.strip())
        if mailbox != ("", ""):
            mailboxes.append(mailbox)
    return tuple(mailboxes)


class _Reader:
    """One pass over the tokens of a list."""

    def __init__(self) -> None:
        self._mailboxes: list[Mailbox] = []
        self._clear()

    def _clear(self) -> None:
        self._outside: list[str] = []  # what stands outside angle brackets: a name, or a bare address
        self._address: list[str] | None = None  # what stands inside
        self._comment = ""
        self._in_brackets = False

    def read(self, value: str) -> tuple[Mailbox, ...]:
        position, next_token = 0, _TOKEN.match
        while token := next_token(value, position):
            text, kind, position = token[0], token.lastgroup, token.end()
            if kind == "quoted" and (len(text) == 1 or not text.endswith('"')):
                # A quote that nobody closes is dropped, and no later one is believed: looking for its end again and
                # again would take a time that grows as the square of the size.
                next_token, position = _TOKEN_WITHOUT_QUOTES.match, token.start() + 1
            elif text == "(":
                position = self._read_comment(value, position)
            elif kind == "special":
                self._special(text)
            elif self._address is not None and self._in_brackets:
                self._address.append(text.strip())
            else:
                self._outside.append(text)
        self._end_of_mailbox()
        return tuple(self._mailboxes)

    def _read_comment(self, value: str, start: int) -> int:
        """Comments nest; one that nobody closes runs to the end."""
        depth = 1
        for mark in _IN_COMMENT.finditer(value, start):
            depth += {"(": 1, ")": -1}.get(mark[0], 0)
            if not depth:
                self._comment = value[start : mark.start()]
                return mark.end()
        self._comment = value[start:]
        return len(value)

    def _special(self, text: str) -> None:
        if text == "<":
            self._in_brackets, self._address = True, []
        elif text == ">":
            self._in_brackets = False
        elif self._in_brackets:
            if text == ":":  # what came before was an obsolete route
                self._address = []
        elif text == ":":  # what came before was a group's name
            self._clear()
        else:
            self._end_of_mailbox()

    def _end_of_mailbox(self) -> None:
        if self._address is not None:
            mailbox = (_name(self._outside), "".join(self._address))
        else:
            mailbox = _without_brackets("".join(self._outside).strip())
            if mailbox[1] and self._comment:  # the oldest form: address (Name)
                mailbox = (_name([self._comment]), mailbox[1])
        if mailbox != ("", ""):
            self._mailboxes.append(mailbox)
        self._clear()


def _without_brackets(text: str) -> Mailbox:
    """A bare address, or words without one."""
    if '"' in text and "@" in text:
        return ("", text)
    if "@" not in text and " " in text:
        return (_name([text]), "")
    return ("", _SPACE.sub("", text))


def _name(tokens: list[str]) -> str:
    texts = [_QUOTED_PAIR.sub(r"\1", token[1:-1]) if token[:1] == '"' else token for token in tokens]
    return decode_words(_SPACE.sub(" ", "".join(texts)).strip()).strip()
