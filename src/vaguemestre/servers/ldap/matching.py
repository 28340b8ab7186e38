"""Does an entry match a filter? Yes, no, or nobody can tell (RFC 4511 §4.5.1.7).

What it keeps true: three values, as the standard has them: an attribute that this server does not know makes its part of
a filter Undefined, and its negation too; an entry without the attribute makes it false.

Values are compared without case, accents or typography, spaces made one (RFC 4518's preparation, and accents besides).
A filter becomes one function, made once for a search. What is approximate: each word of the value begins a word there.
`anr`, which Outlook asks of Active Directory: the words begin words of the name, or the text begins the address.
"""

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Protocol

from vaguemestre.documents.words import literal, words
from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap import messages

Verdict = bool | None
Match = Callable[["Entry"], Verdict]
_EVERY = ""  # as an attribute: any of them
_EQUALITY_RULES = {"", "2.5.13.2", "caseignorematch", "2.5.13.0", "objectidentifiermatch"}
_STEPS = 512


class Entry(Protocol):
    """What a filter is asked about."""

    def folded(self, attribute: str) -> Iterable[str]:
        """The values of an attribute, as `fold` gives them, by the name that `known` gave."""
        ...

    def all_folded(self) -> Iterable[str]:
        """The values of all attributes."""
        ...

    def named(self, attribute: str) -> Iterable[str]:
        """The values of an attribute in the entry's distinguished name; of all where it is empty."""
        ...


class TooManyPartsError(VaguemestreError):
    """The filter has more parts than this server follows."""

    def __init__(self) -> None:
        super().__init__(
            "This filter has more parts than this server follows; ask in several searches.",
            "Ce filtre a plus de parties que ce serveur n'en suit ; faites plusieurs recherches.",
        )


@lru_cache(65_536)  # names and places come again and again
def fold(text: str) -> str:
    """A value as it is compared."""
    return literal(text).strip()


def anr(value: str) -> messages.Filter:
    """What ambiguous name resolution means here, in ordinary filters."""
    sought = words(value)
    by_name = messages.And(tuple(messages.Approximate("cn", word) for word in sought))
    by_address = messages.Substrings("mail", value.strip(), (), "")
    return messages.Or((by_name, by_address)) if sought else messages.Or(())


def plainly(wanted: messages.Filter) -> messages.Filter:
    """A filter with `anr` written out. Raises TooManyPartsError."""
    left = _STEPS

    def rewrite(part: messages.Filter) -> messages.Filter:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooManyPartsError
        match part:
            case messages.And(parts):
                return messages.And(tuple(map(rewrite, parts)))
            case messages.Or(parts):
                return messages.Or(tuple(map(rewrite, parts)))
            case messages.Not(inner):
                return messages.Not(rewrite(inner))
            case messages.Equality(name, value) | messages.Approximate(name, value) if name.lower() == "anr":
                return anr(value.removeprefix("="))
            case messages.Substrings(name, initial, _, _) if name.lower() == "anr":
                return anr(initial)
        return part

    return rewrite(wanted)


def compiled(wanted: messages.Filter, known: Callable[[str], str | None]) -> Match:
    """The function that judges entries; `known` gives the one name of an attribute, None for none of this server's."""
    match wanted:
        case messages.And(parts):
            return _all([compiled(part, known) for part in parts])
        case messages.Or(parts):
            return _any([compiled(part, known) for part in parts])
        case messages.Not(part):
            return _not(compiled(part, known))
        case messages.UnknownFilter():
            return _undefined
        case messages.Extensible():
            return _extensible(wanted, known)
    name = known(wanted.attribute)
    if name is None:
        return _undefined
    match wanted:
        case messages.Present():
            return lambda entry: any(True for _ in entry.folded(name))
        case messages.Equality(_, value):
            return _equal(name, fold(value))
        case messages.Substrings():
            return _substrings(name, wanted)
        case messages.GreaterOrEqual(_, value):
            least = fold(value)
            return lambda entry: any(each >= least for each in entry.folded(name))
        case messages.LessOrEqual(_, value):
            most = fold(value)
            return lambda entry: any(each <= most for each in entry.folded(name))
        case messages.Approximate(_, value):
            return _approximate(name, words(value))


def _undefined(_: Entry) -> Verdict:
    return None


def _all(parts: list[Match]) -> Match:
    def judge(entry: Entry) -> Verdict:
        verdict: Verdict = True
        for part in parts:
            found = part(entry)
            if found is False:
                return False
            verdict = verdict and found
        return verdict

    return judge


def _any(parts: list[Match]) -> Match:
    def judge(entry: Entry) -> Verdict:
        verdict: Verdict = False
        for part in parts:
            found = part(entry)
            if found:
                return True
            if found is None:
                verdict = None
        return verdict

    return judge


def _not(part: Match) -> Match:
    def judge(entry: Entry) -> Verdict:
        found = part(entry)
        return None if found is None else not found

    return judge


def _equal(name: str, value: str) -> Match:
    return lambda entry: any(each == value for each in entry.folded(name))


def _substrings(name: str, wanted: messages.Substrings) -> Match:
    initial, final = literal(wanted.initial).lstrip(), literal(wanted.final).rstrip()
    inner = tuple(literal(piece) for piece in wanted.any)

    def matches(value: str) -> bool:
        if not value.startswith(initial) or not value.endswith(final):
            return False
        at, end = len(initial), len(value) - len(final)
        for piece in inner:
            at = value.find(piece, at, end)
            if at < 0:
                return False
            at += len(piece)
        return at <= end

    return lambda entry: any(map(matches, entry.folded(name)))


def _approximate(name: str, sought: list[str]) -> Match:
    def matches(value: str) -> bool:
        there = words(value)
        return all(any(word.startswith(each) for word in there) for each in sought)

    return lambda entry: any(map(matches, entry.folded(name)))


def _extensible(wanted: messages.Extensible, known: Callable[[str], str | None]) -> Match:
    """Equality by its rule, of one attribute or of all; other rules are Undefined."""
    if wanted.rule.lower() not in _EQUALITY_RULES or not (wanted.rule or wanted.attribute):
        return _undefined
    name = known(wanted.attribute) if wanted.attribute else _EVERY
    if name is None:
        return _undefined
    value = fold(wanted.value)

    def judge(entry: Entry) -> Verdict:
        values = entry.folded(name) if name else entry.all_folded()
        if any(each == value for each in values):
            return True
        return wanted.dn_attributes and any(fold(each) == value for each in entry.named(name))

    return judge
