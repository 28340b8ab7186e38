"""How the entries that may match a filter are found: by exact keys, by runs of letters, or by looking at every one.

What it keeps true: every entry that matches is among those the plan finds; the filter itself then judges each. Under a
negation nothing is deduced: all are looked at.

A program that completes names asks for values that hold some letters anywhere. Those where they begin a word are found
first (`first`), since it stops at the first hundred; then the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vaguemestre.directory.listing import Key
from vaguemestre.directory.substrings import COLUMNS, LEAST, Run
from vaguemestre.documents.words import literal, words
from vaguemestre.protocols.ldap import messages
from vaguemestre.servers.ldap.matching import fold
from vaguemestre.servers.ldap.schema import Attribute, Schema


@dataclass(frozen=True, slots=True)
class Every:
    """Every one of these expressions."""

    parts: frozenset["Expression"]


@dataclass(frozen=True, slots=True)
class Some:
    """Any of these expressions; none: nothing."""

    parts: frozenset["Expression"]


Expression = Run | Every | Some
NOTHING = Some(frozenset())


@dataclass(frozen=True, slots=True)
class Plan:
    """Where to look. `runs` None: everywhere, as the last resort. `first` is where to look before, perhaps nowhere."""

    keys: frozenset[tuple[Key, str]] = frozenset()
    runs: Expression | None = NOTHING
    first: Expression = NOTHING

    @property
    def everything(self) -> bool:
        """Whether all entries must be looked at."""
        return self.runs is None


EVERYTHING = Plan(runs=None)
NOWHERE = Plan()


def of(wanted: messages.Filter, schema: Schema) -> Plan:
    """The plan for a filter, `anr` written out."""
    match wanted:
        case messages.And(parts):
            return _both([of(part, schema) for part in parts])
        case messages.Or(parts):
            return _either([of(part, schema) for part in parts])
        case messages.Not():
            return EVERYTHING
        case messages.UnknownFilter():
            return NOWHERE
        case messages.Extensible():
            if wanted.dn_attributes or not wanted.attribute:
                return EVERYTHING
            wanted = messages.Equality(wanted.attribute, wanted.value)
    if wanted.attribute.lower() in ("objectclass", "2.5.4.0"):
        if isinstance(wanted, messages.Equality) and not schema.known_class(fold(wanted.value)):
            return NOWHERE
        return EVERYTHING
    attribute = schema.find(wanted.attribute)
    if attribute is None:
        return EVERYTHING if wanted.attribute.lower() in ("entrydn", "structuralobjectclass") else NOWHERE
    match wanted:
        case messages.Equality(_, value):
            return _equal(attribute, value)
        case messages.Substrings():
            return _substrings(attribute, wanted)
        case messages.Approximate(_, value):
            starts = [f" {word}" for word in words(value)]
            # Words begin after any mark; the index only knows spaces, so short ones are no help beyond the first look.
            return _runs(attribute, [word.strip() for word in starts], starts)
    return EVERYTHING


def expression(wanted: Expression) -> str:
    """In the language of FTS5; empty where nothing is sought."""
    match wanted:
        case Run():
            return wanted.expression()
        case Every(parts):
            return " AND ".join(f"({expression(part)})" for part in _ordered(parts))
        case Some(parts):
            columns: dict[str, set[str]] = {}
            for part in parts:
                if isinstance(part, Run):
                    columns.setdefault(part.letters, set()).add(part.column)
            texts = [Run(" ".join(sorted(found)), letters).expression() for letters, found in sorted(columns.items())]
            texts += [expression(part) for part in _ordered(parts) if not isinstance(part, Run)]
            return " OR ".join(f"({text})" for text in texts)


def holds(wanted: Expression, columns: tuple[str, ...]) -> bool:
    """Whether the index would find these texts by this expression."""
    match wanted:
        case Run(column, letters):
            return letters in columns[COLUMNS.index(column)]
        case Every(parts):
            return all(holds(part, columns) for part in parts)
        case Some(parts):
            return any(holds(part, columns) for part in parts)


def _ordered(parts: Iterable[Expression]) -> list[Expression]:
    return sorted(parts, key=expression)


def _equal(attribute: Attribute, value: str) -> Plan:
    if attribute.key is not None:
        return Plan(keys=frozenset({(attribute.key, value.strip())}))
    return _runs(attribute, [fold(value)], [f" {fold(value)}"], sure=[f" {fold(value)}"])


def _substrings(attribute: Attribute, wanted: messages.Substrings) -> Plan:
    initial = literal(wanted.initial).lstrip()
    inner = [literal(piece) for piece in wanted.any]
    final = literal(wanted.final).rstrip()
    sure = [f" {initial}"] if initial else []
    starts = [f" {piece}" for piece in inner[:1] if not piece.startswith(" ")]
    return _runs(attribute, [piece for piece in (initial, *inner, final) if piece], [*sure, *starts], sure=sure)


def _runs(attribute: Attribute, pieces: list[str], starts: list[str], sure: Iterable[str] = ()) -> Plan:
    """Values that hold all pieces; first those that hold all starts. `sure` holds in all that match."""
    if not attribute.column:
        return EVERYTHING
    long = [piece for piece in (*pieces, *sure) if len(piece) >= LEAST]
    runs = _together(attribute, long) if long else None
    first = [start for start in (*starts, *long) if len(start) >= LEAST]
    return Plan(runs=runs, first=_together(attribute, first) if first and starts else NOTHING)


def _together(attribute: Attribute, pieces: Iterable[str]) -> Expression:
    letters = set(pieces)
    # What stands within another piece, begun or not, adds nothing.
    kept = {each for each in letters if not any(each != other and each in other for other in letters)}
    found = frozenset(Run(attribute.column, each) for each in kept)
    return next(iter(found)) if len(found) == 1 else Every(found)


def _both(plans: list[Plan]) -> Plan:
    """Keys first, for they are few; then runs, all of them; everything where no part helps."""
    narrow = [plan for plan in plans if not plan.everything]
    if not narrow:
        hints = [plan.first for plan in plans if plan.first != NOTHING]
        return Plan(runs=None, first=_all(hints)) if hints else EVERYTHING
    for plan in narrow:
        if plan.runs == NOTHING:
            return plan
    by_runs = [plan for plan in narrow if not plan.keys]
    if not by_runs:
        return narrow[0]
    runs = _all([plan.runs for plan in by_runs if plan.runs is not None])
    first = [plan.first for plan in plans if plan.first != NOTHING]
    complete = all(plan.first != NOTHING for plan in by_runs)
    return Plan(runs=runs, first=_all(first) if complete else NOTHING)


def _either(plans: list[Plan]) -> Plan:
    keys = frozenset(key for plan in plans for key in plan.keys)
    first = _any([plan.first for plan in plans])
    if any(plan.everything for plan in plans):
        return Plan(keys, None, first)
    return Plan(keys, _any([plan.runs for plan in plans if plan.runs is not None]), first)


def _all(parts: list[Expression]) -> Expression:
    flat: set[Expression] = set()
    for part in parts:
        flat |= part.parts if isinstance(part, Every) else {part}
    if NOTHING in flat:
        return NOTHING
    return next(iter(flat)) if len(flat) == 1 else Every(frozenset(flat))


def _any(parts: list[Expression]) -> Expression:
    flat: set[Expression] = set()
    for part in parts:
        flat |= part.parts if isinstance(part, Some) else {part}
    return next(iter(flat)) if len(flat) == 1 else Some(frozenset(flat))
