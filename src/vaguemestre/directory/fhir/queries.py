"""A search's conditions as SQL, for either store. Private to this room.

What it keeps true: the same answer as `documents.fhir.matching` gives on resources. Values are always bound; only names
from this code stand in the texts.

Rules: a condition is a predicate on the row `r`, and where an index can find its rows without looking at all of them, a
source of their ids (which may give a few too many, for the predicate is asked too). What is withdrawn shows its
identifiers alone: conditions on anything else are not met by it.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre.documents.fhir import dates, matching, systems
from vaguemestre.documents.fhir.parameters import Reference
from vaguemestre.documents.fhir.resources import number_of
from vaguemestre.documents.fhir.search import Clause, Condition, Linked, plain, token
from vaguemestre.documents.fhir.systems import canonical
from vaguemestre.documents.words import fold, words

TABLES = {"Practitioner": "practitioners", "PractitionerRole": "activities", "Organization": "organizations"}
COLUMNS = {
    "PractitionerRole:practitioner": "practitioner_id",
    "PractitionerRole:organization": "organization_id",
    "Organization:partof": "parent_id",
}
NEVER, ALWAYS = "1 = 0", "1 = 1"
_LAST = "\U0010ffff"
_TITLES = {"m", "mme", "mlle", "dr", "pr", "me", "mr", "ms"}
_ALWAYS_SHOWN = {"_id", "_lastUpdated", "identifier", "identifier-type", "active"}
# An address of a person at a place is that activity's; where there is none, the person's.
ALONE = (
    "(a.organization_id IS NULL OR NOT EXISTS (SELECT 1 FROM activities x WHERE x.practitioner_id = a.practitioner_id"
    " AND +x.organization_id = a.organization_id AND x.active))"
)


@dataclass(frozen=True, slots=True)
class Compiled:
    """A condition. `source`: a query of ids, or empty.

    `few`: it never gives many. `scans`: it reads a whole index, so it is asked only where nothing else is quicker.
    `seeks`: it looks up each id it gives elsewhere. `probe`: what to count instead of the source, where that is quicker.
    """

    predicate: str
    source: str = ""
    few: bool = False
    scans: bool = False
    seeks: bool = False
    probe: str = ""

    @property
    def counted(self) -> str:
        """A query of about as many rows as the source."""
        return self.probe or self.source


@dataclass(slots=True)
class Query:
    """The values of a query under way, and how its store writes things."""

    server: bool
    now: int
    values: dict[str, Any]
    kept: Callable[[Reference, Condition], Iterable[int]]  # ids of organizations that resources kept whole refer to
    own_domains: frozenset[str] = frozenset()  # of who asks: whose red-listed addresses they see
    # The folded names there are that hold a text, by column; None where they are too many to be asked for each.
    names: Callable[[str, str], Sequence[str] | None] = lambda *_: None
    narrow: str = ""  # what sources of names ask besides, of columns of the same index

    @classmethod
    def on(
        cls,
        connection: sa.Connection,
        now: int,
        kept: Callable[[Reference, Condition], Iterable[int]],
        own_domains: frozenset[str] = frozenset(),
        names: Callable[[str, str], Sequence[str] | None] = lambda *_: None,
    ) -> "Query":
        """For a connection's store."""
        return cls(connection.dialect.name == "postgresql", now, {}, kept, own_domains, names)

    def shown(self) -> str:
        """Whether an address `a` is shown to who asks."""
        if not self.own_domains:
            return "a.active AND NOT a.red_list"
        own = ", ".join(self.bind(domain) for domain in sorted(self.own_domains))
        return f"a.active AND (NOT a.red_list OR a.domain IN ({own}))"

    def bind(self, value: Any) -> str:
        """The mark that stands for a value."""
        name = f"p{len(self.values)}"
        self.values[name] = value
        return f"%({name})s" if self.server else f":{name}"

    def among(self, expression: str, ids: Sequence[int]) -> str:
        """Whether an expression is one of these numbers, bound as one value."""
        if self.server:
            return f"{expression} = ANY({self.bind(list(ids))})"
        return f"{expression} IN (SELECT value FROM json_each({self.bind('[' + ','.join(map(str, ids)) + ']')}))"

    def one_of(self, expression: str, texts: Sequence[str]) -> str:
        """Whether an expression is one of these texts, bound as one value."""
        if self.server:
            return f"{expression} = ANY({self.bind(list(texts))})"
        return f"{expression} IN (SELECT value FROM json_each({self.bind(msgspec.json.encode(texts).decode())}))"

    def begins(self, expression: str, text: str) -> str:
        """Whether a text begins so: a range of its index."""
        if not text:
            return NEVER
        return f"({expression} >= {self.bind(text)} AND {expression} < {self.bind(text + _LAST)})"

    def contains(self, expression: str, text: str) -> str:
        """Whether a text stands in another."""
        if not text:
            return ALWAYS
        return f"{'strpos' if self.server else 'instr'}({expression}, {self.bind(text)}) > 0"

    def several(self, expression: str) -> str:
        """Whether a folded name is more than one plain word."""
        return f"{expression} ~ '[^a-z0-9]'" if self.server else f"{expression} GLOB '*[^a-z0-9]*'"


def compiled(query: Query, condition: Condition, r: str = "r") -> Compiled:
    """A condition on the row called `r`."""
    if isinstance(condition, Linked):
        return _linked(query, condition, r)
    return _ABOUT[condition.kind](query, condition, r) if condition.kind in TABLES else Compiled(NEVER)


def _linked(query: Query, condition: Linked, r: str) -> Compiled:
    reference, inner = condition.reference, condition.inner
    if str(reference) not in COLUMNS:  # from a resource that is kept whole
        ids = sorted(query.kept(reference, inner))
        source = f"SELECT id FROM organizations WHERE {query.among('id', ids)}"
        return Compiled(query.among(f"{r}.id", ids), source, few=True)
    column, other = COLUMNS[str(reference)], f"{r}n"
    found = compiled(query, inner, other)
    if condition.backwards:
        table = TABLES[reference.source]
        predicate = _there(f"{table} {other} WHERE {other}.{column} = {r}.id AND {other}.active AND {found.predicate}")
        if not found.source:
            return Compiled(predicate)
        source = f"SELECT {column} FROM {table} WHERE id IN ({found.source}) AND {column} IS NOT NULL"
        return Compiled(predicate, source, False, found.scans, seeks=True, probe=found.counted)
    table, target = TABLES[reference.source], TABLES[reference.target]
    there = _there(f"{target} {other} WHERE {other}.id = {r}.{column} AND {found.predicate}")
    predicate = f"({r}.active AND {there})"
    if not found.source:
        return Compiled(predicate)
    source = f"SELECT id FROM {table} WHERE {column} IN ({found.source})"
    return Compiled(predicate, source, False, found.scans, seeks=True, probe=found.counted)


def _practitioner(query: Query, clause: Clause, r: str) -> Compiled:
    name = clause.parameter.name
    match name:
        case "family" | "given" | "name":
            return _shown(r, _names(query, clause, r))
        case "qualification-code":
            return _coded(query, clause, r, _qualification)
        case "number-smartcard":
            return _shown(r, _alternatives(clause, lambda value: _card_number(query, clause.modifier, value, r)))
        case "type-smartcard":
            return _coded(query, clause, r, _card_type)
    return _common(query, clause, r)


def _role(query: Query, clause: Clause, r: str) -> Compiled:
    match clause.parameter.name:
        case "role":
            return _coded(query, clause, r, _function)
        case "practitioner" | "organization":
            return _reference(query, clause, r)
    return _common(query, clause, r)


def _organization(query: Query, clause: Clause, r: str) -> Compiled:
    name, modifier = clause.parameter.name, clause.modifier
    match name:
        case "name":  # shown of what was withdrawn, too
            return _alternatives(clause, lambda value: _field(query, modifier, "name_key", "name", value, r))
        case "address-city":
            found = _alternatives(clause, lambda value: _field(query, modifier, "city_key", "city", value, r))
            return _shown(r, found)
        case "address-line":
            found = _alternatives(clause, lambda value: _field(query, modifier, "line_key", _LINE, value, r))
            return _shown(r, found)
        case "address-postalcode":
            found = _alternatives(clause, lambda value: _field(query, modifier, "postcode", "postcode", value, r))
            return _shown(r, found)
        case "address":
            return _shown(r, _alternatives(clause, lambda value: _address(query, modifier, value, r)))
        case "address-insee":
            return _coded(query, clause, r, _commune)
        case "pharmacy-licence":  # not in what is published
            return Compiled(NEVER)
        case "type":
            return _coded(query, clause, r, _organization_type)
        case "partof":
            return _reference(query, clause, r)
    return _common(query, clause, r)


_ABOUT = {"Practitioner": _practitioner, "PractitionerRole": _role, "Organization": _organization}
_NAMES = {"family": ("family", "family_key", "f"), "given": ("given", "given_key", "g")}
# As documents.fhir.resources writes it.
_LINE = (
    "trim(CASE WHEN {r}.number = '' THEN '' ELSE {r}.number || ' ' END"
    " || CASE WHEN {r}.repetition = '' THEN '' ELSE {r}.repetition || ' ' END"
    " || CASE WHEN {r}.street_type = '' THEN '' ELSE {r}.street_type || ' ' END || {r}.street)"
)


def _common(query: Query, clause: Clause, r: str) -> Compiled:
    table = TABLES[clause.kind]
    match clause.parameter.name:
        case "_id":
            numbers = [number_of(clause.kind, token(value)[1]) for value in clause.values]
            ids = [number for number in numbers if number is not None]
            found = Compiled(
                query.among(f"{r}.id", ids), f"SELECT id FROM {table} WHERE {query.among('id', ids)}", few=True
            )
            return _negated(clause, found)
        case "_lastUpdated":
            return _dated(query, clause, r)
        case "active":
            return _negated(clause, Compiled(_any(_active(value, r) for value in clause.values)))
        case "identifier":
            return _negated(clause, _alternatives(clause, lambda value: _identifier(query, clause, value, r)))
        case "identifier-type":
            return _negated(clause, Compiled(_any(_identifier_type(clause.kind, value, r) for value in clause.values)))
        case "mailbox-mss":
            return _shown(r, _alternatives(clause, lambda value: _mailbox(query, clause, value, r)))
        case "mailbox-mss-type":
            return _coded(query, clause, r, lambda query, value, r: _mailbox_kind(query, clause.kind, value, r))
        case "data-information-system":
            return _negated(clause, Compiled(_any(_system(clause.kind, value, r) for value in clause.values)))
        case "data-registration-authority":
            return _negated(clause, Compiled(_any(_registrar(query, clause.kind, value, r) for value in clause.values)))
    raise AssertionError(clause.parameter.name)  # the table of parameters and this one say the same


def _alternatives(clause: Clause, one: Callable[[str], Compiled]) -> Compiled:
    """Any of the values."""
    found = [one(value) for value in clause.values]
    whole = all(each.source or each.predicate == NEVER for each in found)
    return Compiled(
        _any(each.predicate for each in found),
        _union(each.source for each in found) if whole else "",
        all(each.few for each in found),
        any(each.scans for each in found),
        any(each.seeks for each in found),
        _union(each.counted for each in found) if whole else "",
    )


def _shown(r: str, found: Compiled) -> Compiled:
    """Only of what was not withdrawn."""
    return replace(found, predicate=f"({r}.active AND {found.predicate})")


def _negated(clause: Clause, found: Compiled) -> Compiled:
    return Compiled(f"NOT {found.predicate}") if clause.modifier == "not" else found


def _coded(query: Query, clause: Clause, r: str, one: Callable[[Query, str, str], Compiled]) -> Compiled:
    """Tokens of something that only what was not withdrawn shows."""
    found = _shown(r, _alternatives(clause, lambda value: one(query, value, r)))
    return Compiled(f"NOT {found.predicate}") if clause.modifier == "not" else found


def of_names(condition: Condition) -> bool:
    """Whether a condition is on a person's names, as they begin: told by the columns of one index."""
    return (
        isinstance(condition, Clause)
        and condition.kind == "Practitioner"
        and condition.parameter.name in ("family", "given", "name")
        and condition.modifier in ("", "text")
    )


def narrowed(query: Query, condition: Condition, others: Iterable[Condition]) -> str:
    """The source of a condition on names, narrowed by others on names before any row is looked at."""
    wanted = []
    for each in others:
        if isinstance(each, Clause):
            wanted.append(_names(query, each, "practitioners").predicate)
    query.narrow = "".join(f" AND {each}" for each in wanted)
    source = compiled(query, condition).source
    query.narrow = ""
    return source


def _names(query: Query, clause: Clause, r: str) -> Compiled:
    """A condition on names, of whoever has them."""
    name, modifier = clause.parameter.name, clause.modifier
    if name == "name":
        return _alternatives(clause, lambda value: _full_name(query, modifier, value, r))
    return _alternatives(clause, lambda value: _name(query, modifier, _NAMES[name], value, r))


def _begins(query: Query, names: tuple[str, str, str], sought: str, r: str) -> tuple[str, str]:
    """A name that begins so, or one of its words: the predicate, and the query of ids. `sought` is folded."""
    _, key, field = names
    spaced = " ".join(words(sought))
    if not sought:
        return NEVER, ""
    predicate, source = query.begins(f"{r}.{key}", sought), ""
    source = f"SELECT id FROM practitioners WHERE {query.begins(key, sought)}{query.narrow}"
    if spaced:
        spelled = f"field = '{field}' AND {query.begins('key', spaced)}"
        several = query.several(f"{r}.{key}")  # others have no spelling to be looked up
        predicate = f"({predicate} OR ({several} AND {_there(f'spellings WHERE id = {r}.id AND {spelled}')}))"
        source += f" UNION ALL SELECT id FROM spellings WHERE {spelled}"
    return predicate, source


def _name(query: Query, modifier: str, names: tuple[str, str, str], value: str, r: str) -> Compiled:
    column, key, _ = names
    value = plain(value)
    sought = fold(value).strip()
    if modifier == "exact":
        return _exact(query, key, column, value, r, "practitioners")
    if modifier == "contains":
        known = query.names(key, sought)
        if known is not None:
            return Compiled(
                query.contains(f"{r}.{key}", sought), f"SELECT id FROM practitioners WHERE {query.one_of(key, known)}"
            )
        source = f"SELECT id FROM practitioners WHERE {query.contains(key, sought)}"
        return Compiled(query.contains(f"{r}.{key}", sought), source, scans=True)
    return Compiled(*_begins(query, names, sought, r))


def _exact(query: Query, key: str, column: str, value: str, r: str, table: str) -> Compiled:
    """To the letter; found by its key."""
    if not value:
        return Compiled(NEVER)
    bare = column.format(r=table) if "{r}" in column else column
    whole = column.format(r=r) if "{r}" in column else f"{r}.{column}"
    folded, mark = query.bind(fold(value)), query.bind(value)
    key_is = f"{r}.{key} = {folded}" if key != column else ALWAYS
    source = f"SELECT id FROM {table} WHERE {key} = {folded} AND {bare} = {mark}"
    return Compiled(f"({key_is} AND {whole} = {mark})", source)


def _full_name(query: Query, modifier: str, value: str, r: str) -> Compiled:
    family, given = _NAMES["family"], _NAMES["given"]
    value = plain(value)
    sought = fold(value).strip()
    if modifier == "exact":
        mark = query.bind(value)
        found = [_exact(query, key, column, value, r, "practitioners") for column, key, _ in (family, given)]
        text = f"({r}.family || ' ' || {r}.given) = {mark}"
        titled = f"({mark} IN ({r}.civility, {r}.title) AND {mark} <> '')"
        if sought in _TITLES:
            return Compiled(_any([*(each.predicate for each in found), text, titled]))
        sources = [each.source for each in found]
        for one, other in _splits(value):
            sources.append(
                f"SELECT id FROM practitioners WHERE family_key = {query.bind(fold(one))}"
                f" AND given_key = {query.bind(fold(other))}"
            )
        return Compiled(_any([*(each.predicate for each in found), text]), _union(sources))
    if modifier == "contains":
        both = "family_key || ' ' || {0}given_key"
        predicate = query.contains(f"{r}.{both.format(r + '.')}", sought)
        holding = _names_holding(query, sought)
        if holding is not None:
            return Compiled(predicate, _union(holding))
        source = f"SELECT id FROM practitioners WHERE {query.contains(both.format(''), sought)}"
        return Compiled(predicate, source, scans=True)
    parts = [_begins(query, names, sought, r) for names in (family, given)]
    probes = [source for _, source in parts]
    for one, other in matching.halves(sought):
        for first, second in ((family, given), (given, family)):
            parts.append(_two_names(query, first, second, one, other, r))
            probes.append(parts[-1][1].partition(" UNION ALL ")[0])  # of one word each: the others are fewer
    if sought in _TITLES:
        titled = f"{query.bind(sought)} IN (lower({r}.civility), lower({r}.title))"
        return Compiled(_any([*(predicate for predicate, _ in parts), titled]))
    return Compiled(
        _any(predicate for predicate, _ in parts), _union(source for _, source in parts), probe=_union(probes)
    )


def _names_holding(query: Query, sought: str) -> list[str] | None:
    """The sources of people whose family name, given name, or the two a space apart hold a text; None for too many."""
    family, given = query.names("family_key", sought), query.names("given_key", sought)
    if family is None or given is None:
        return None
    sources = [
        f"SELECT id FROM practitioners WHERE {query.one_of('family_key', family)}",
        f"SELECT id FROM practitioners WHERE {query.one_of('given_key', given)}",
    ]
    for one, other in _splits(sought):
        ends, begins = query.names("family_key", f"{one}\n"), query.names("given_key", f"\n{other}")
        if ends is None or begins is None:
            return None
        sources.append(
            f"SELECT id FROM practitioners WHERE {query.one_of('family_key', ends)}"
            f" AND {query.one_of('given_key', begins)}"
        )
    return sources


def _splits(text: str) -> list[tuple[str, str]]:
    return [(text[:at], text[at + 1 :]) for at, character in enumerate(text) if character == " "]


def _two_names(
    query: Query, first: tuple[str, str, str], second: tuple[str, str, str], one: str, other: str, r: str
) -> tuple[str, str]:
    """One name is `one`, the other begins by `other`."""
    _, key, field = first
    _, other_key, other_field = second
    equal = f"{r}.{key} = {query.bind(one)}"
    spaced, other_spaced = " ".join(words(one)), " ".join(words(other))
    begins, _ = _begins(query, second, other, r)
    sources = [
        f"SELECT id FROM practitioners WHERE {key} = {query.bind(one)} AND {query.begins(other_key, other)}{query.narrow}",
    ]
    if other_spaced:
        spelled = f"field = '{other_field}' AND {query.begins('key', other_spaced)}"
        sources.append(
            f"SELECT id FROM practitioners p WHERE {key} = {query.bind(one)} AND {query.several(other_key)}"
            f" AND {_there(f'spellings WHERE id = p.id AND {spelled}')}"
        )
    if len(words(one)) > 1:
        whole = f"field = '{field}' AND key = {query.bind(spaced)}"
        # The spelling from the first word on, which no other spelling of the same name contains.
        longest = (
            "NOT EXISTS (SELECT 1 FROM spellings l WHERE l.id = s.id AND l.field = s.field"
            " AND length(l.key) > length(s.key))"
        )
        spelled = _there(f"spellings s WHERE s.id = {r}.id AND {_of('s', whole)} AND {longest}")
        equal = f"({equal} OR {spelled})"
        sources.append(f"SELECT id FROM spellings WHERE {whole}")
    return f"({equal} AND {begins})", _union(sources)


def _of(alias: str, condition: str) -> str:
    return condition.replace("field =", f"{alias}.field =").replace("key =", f"{alias}.key =")


def _field(query: Query, modifier: str, key: str, column: str, value: str, r: str) -> Compiled:
    """A text of an organization, by its key."""
    value = plain(value)
    sought = fold(value).strip()
    if modifier == "exact":
        return _exact(query, key, column, value, r, "organizations")
    if modifier == "contains":
        source = f"SELECT id FROM organizations WHERE {query.contains(key, sought)}"
        return Compiled(query.contains(f"{r}.{key}", sought), source, scans=True)
    if not sought:
        return Compiled(NEVER)
    return Compiled(
        query.begins(f"{r}.{key}", sought), f"SELECT id FROM organizations WHERE {query.begins(key, sought)}"
    )


def _address(query: Query, modifier: str, value: str, r: str) -> Compiled:
    found = [
        _field(query, modifier, key, column, value, r)
        for key, column in (("city_key", "city"), ("line_key", _LINE), ("postcode", "postcode"))
    ]
    return Compiled(
        _any(each.predicate for each in found),
        _union(each.source for each in found),
        scans=any(each.scans for each in found),
    )


def _system_is(asked: str | None, system: str) -> bool:
    return asked is None or canonical(asked) == system


def _qualification(query: Query, value: str, r: str) -> Compiled:
    system, code = token(value)
    conditions = []
    if not code and not system:
        return Compiled(NEVER)
    mark = query.bind(code) if code else ""
    # The columns in which a nomenclature's codes stand, and for what.
    for known, column, what in (
        (systems.CATEGORY, "type", "'P'"),
        (systems.KNOW_HOW_TYPE, "type", "'K'"),
        (systems.DIPLOMA_TYPE, "type", "'D'"),
        (systems.DIPLOMA, "code", "'D'"),
    ):
        if _system_is(system, known):
            conditions.append((column, f"what = {what}"))
    numeric = "code ~ '^[0-9]+$'" if query.server else "(code <> '' AND code NOT GLOB '*[^0-9]*')"
    for known, kind in ((systems.PROFESSION, numeric), (systems.OTHER_PROFESSION, f"NOT {numeric}")):
        if _system_is(system, known):
            conditions.append(("code", f"what = 'P' AND {kind}"))
    types = sorted(set(systems.KNOW_HOW) - {"S"})
    for kind in types:
        if _system_is(system, systems.KNOW_HOW[kind]):
            conditions.append(("code", f"what = 'K' AND type = '{kind}'"))
    if _system_is(system, systems.SPECIALITY):
        conditions.append(("code", f"what = 'K' AND type NOT IN ({', '.join(repr(kind) for kind in types)})"))
    if system is None:  # the same, said shorter
        conditions = [("code", "what IN ('P', 'K', 'D')"), ("type", "what IN ('P', 'K', 'D')")]
    if not conditions:
        return Compiled(NEVER)
    met = [f"({column} = {mark} AND {what})" if mark else f"({column} <> '' AND {what})" for column, what in conditions]
    predicate = _there(f"qualifications WHERE practitioner_id = {r}.id AND ({' OR '.join(met)})")
    if not mark:
        return Compiled(predicate)
    return Compiled(predicate, _union(f"SELECT practitioner_id FROM qualifications WHERE {each}" for each in met))


def _card_number(query: Query, modifier: str, value: str, r: str) -> Compiled:
    value = plain(value).strip() if modifier != "exact" else plain(value)
    met = query.begins("number", fold(value))
    if modifier == "exact":
        met = f"number = {query.bind(value)}" if value else NEVER
    if modifier == "contains":
        met = query.contains("number", fold(value))
    held = f"opposed_on = '' AND {met}"
    return Compiled(
        _there(f"cards WHERE practitioner_id = {r}.id AND {held}"),
        f"SELECT practitioner_id FROM cards WHERE {held}",
        scans=modifier == "contains",
    )


def _card_type(query: Query, value: str, r: str) -> Compiled:
    system, code = token(value)
    if not _system_is(system, systems.CARD_TYPE) or not (code or system):
        return Compiled(NEVER)
    held = f"opposed_on = '' AND type = {query.bind(code)}" if code else "opposed_on = '' AND type <> ''"
    predicate = _there(f"cards WHERE practitioner_id = {r}.id AND {held}")
    return Compiled(predicate, f"SELECT practitioner_id FROM cards WHERE {held}" if code else "")


def _function(query: Query, value: str, r: str) -> Compiled:
    system, code = token(value)
    known = (
        (systems.GENRE, "genre"),
        (systems.MODE, "mode"),
        (systems.FUNCTION, "function"),
        (systems.SECTION, "section"),
    )
    columns = [column for nomenclature, column in known if _system_is(system, nomenclature)]
    if not columns or not (code or system):
        return Compiled(NEVER)
    if not code:
        return Compiled(_any(f"{r}.{column} <> ''" for column in columns))
    mark = query.bind(code)
    source = f"SELECT id FROM activities WHERE function = {mark}" if columns == ["function"] else ""
    return Compiled(_any(f"{r}.{column} = {mark}" for column in columns), source)


def _commune(query: Query, value: str, r: str) -> Compiled:
    system, code = token(value)
    if not _system_is(system, systems.COMMUNE) or not (code or system):
        return Compiled(NEVER)
    if not code:
        return Compiled(f"{r}.commune <> ''")
    mark = query.bind(code)
    return Compiled(f"{r}.commune = {mark}", f"SELECT id FROM organizations WHERE commune = {mark}")


def _organization_type(query: Query, value: str, r: str) -> Compiled:
    system, code = token(value)
    parts, sources = [], []
    whole = True
    if _system_is(system, systems.ORGANIZATION_KINDS) and code in ("", "LEGAL-ENTITY", "GEOGRAPHICAL-ENTITY"):
        legal = _legal(r)
        if code or system:
            parts.append({"": ALWAYS, "LEGAL-ENTITY": legal}.get(code, f"NOT {legal}"))
            whole = False
    for known, column in ((systems.SECTOR, "sector"), (systems.ESTABLISHMENT, "category")):
        if not _system_is(system, known) or not (code or system):
            continue
        if not code:
            parts.append(f"{r}.{column} <> ''")
            whole = False
        else:
            mark = query.bind(code)
            filled = " AND category <> ''" if column == "category" else ""  # its index holds no others
            parts.append(f"{r}.{column} = {mark}")
            sources.append(f"SELECT id FROM organizations WHERE {column} = {mark}{filled}")
    return Compiled(_any(parts), _union(sources) if whole else "")


def _legal(r: str) -> str:
    return f"({r}.legal_finess <> '' AND {r}.finess IN ('', {r}.legal_finess) AND {r}.parent_id IS NULL)"


def _reference(query: Query, clause: Clause, r: str) -> Compiled:
    target, column = clause.parameter.target, COLUMNS[f"{clause.kind}:{clause.parameter.name}"]
    found = [number_of(target, matching.reference_id(clause, value)) for value in clause.values]
    ids = [number for number in found if number is not None]
    source = f"SELECT id FROM {TABLES[clause.kind]} WHERE {query.among(column, ids)}"
    return Compiled(f"({r}.active AND {query.among(f'{r}.{column}', ids)})", source)


def _dated(query: Query, clause: Clause, r: str) -> Compiled:
    """By the revisions of that time, which follow one another as their dates do."""
    parts, sources = [], []
    for value in clause.values:
        for low, high in dates.spans(value, query.now):
            first = f"(SELECT min(id) FROM revisions WHERE at >= {query.bind(low)})"
            last = f"(SELECT max(id) FROM revisions WHERE at < {query.bind(high)})"
            parts.append(f"({r}.revision >= {first} AND {r}.revision <= {last})")
            sources.append(f"SELECT id FROM {TABLES[clause.kind]} WHERE revision >= {first} AND revision <= {last}")
    return Compiled(f"coalesce({_any(parts)}, {NEVER})", _union(sources))


def _active(value: str, r: str) -> str:
    _, code = token(value)
    return {"true": f"{r}.active", "false": f"NOT {r}.active"}.get(code, NEVER)


def _identifier(query: Query, clause: Clause, value: str, r: str) -> Compiled:
    kind = clause.kind
    types: set[str] | None = None
    if clause.modifier == "of-type":
        type_, _, value = value.rpartition("|")
        system, code = token(type_)
        if not _system_is(system, systems.IDENTIFIER_TYPES) or not code:
            return Compiled(NEVER)
        types = {code}
        system, code = None, plain(value)
    else:
        system, code = token(value)
    if not code and not system:
        return Compiled(NEVER)
    found = [
        each
        for type_, known, each in _IDENTIFIERS[kind](query, code, r)
        if _system_is(system, known) and (types is None or type_ in types)
    ]
    sources = [f"SELECT id FROM {TABLES[kind]} WHERE {source}" for _, source in found if source]
    return Compiled(_any(predicate for predicate, _ in found), _union(sources) if code else "", few=bool(code))


Identified = Iterable[tuple[str, str, tuple[str, str]]]


def _practitioner_identifiers(query: Query, code: str, r: str) -> Identified:
    for kind, system, column in (("RPPS", systems.RPPS, "rpps"), ("IDNPS", systems.IDNPS, "national_id")):
        yield kind, system, _value(query, column, code, r)


def _role_identifiers(query: Query, code: str, r: str) -> Identified:
    yield "", systems.RPPS, _value(query, "identifier", code, r)
    own = f"{r}.identifier = ''"
    if not code:
        yield "", systems.OWN_ACTIVITY, (own, "")
    elif (number := number_of("PractitionerRole", f"005-{code}")) is not None:
        mark = query.bind(number)
        yield "", systems.OWN_ACTIVITY, (f"({own} AND {r}.id = {mark})", f"id = {mark}")


def _organization_identifiers(query: Query, code: str, r: str) -> Identified:
    legal, finess = _legal(r), _value(query, "finess", code, r)
    above = _value(query, "legal_finess", code, r, partial=True)
    yield "FINEG", systems.FINESS, (f"(NOT {legal} AND {finess[0]})", finess[1])
    yield "FINEJ", systems.FINESS, (f"({legal} AND {above[0]})", above[1])
    yield "SIRET", systems.SIRENE, _value(query, "siret", code, r)
    yield "SIREN", systems.SIRENE, _value(query, "siren", code, r, partial=True)
    yield "RPPSRG", systems.RPPS_RANK, _value(query, "technical_id", code, r)
    yield "IDNST", systems.IDNST, _national_structure(query, code, r)


def _national_structure(query: Query, code: str, r: str) -> tuple[str, str]:
    by_finess = f"({r}.finess <> '' OR {_legal(r)})"
    if not code:
        return f"({by_finess} OR {r}.siret <> '' OR {r}.rpps_rank <> '')", ""
    kind, number = code[0], code[1:]
    if kind == "1" and number:
        mark = query.bind(number)
        met = f"({r}.finess = {mark} OR ({r}.finess = '' AND {_legal(r)} AND {r}.legal_finess = {mark}))"
        return met, f"finess = {mark} OR (legal_finess = {mark} AND legal_finess <> '')"
    if kind == "3" and number:
        mark = query.bind(number)
        return f"({r}.siret = {mark} AND NOT {by_finess})", f"siret = {mark}"
    if kind == "4" and number:
        mark = query.bind(number)
        met = f"({r}.rpps_rank = {mark} AND {r}.siret = '' AND NOT {by_finess})"
        return met, f"rpps_rank = {mark} AND rpps_rank <> ''"
    return NEVER, ""


_IDENTIFIERS: dict[str, Callable[[Query, str, str], Identified]] = {
    "Practitioner": _practitioner_identifiers,
    "PractitionerRole": _role_identifiers,
    "Organization": _organization_identifiers,
}


def _value(query: Query, column: str, code: str, r: str, *, partial: bool = False) -> tuple[str, str]:
    """A column that is that code, or holds any: the predicate, and the condition of a source."""
    if not code:
        return f"{r}.{column} <> ''", ""
    mark = query.bind(code)
    return f"{r}.{column} = {mark}", f"{column} = {mark}{f' AND {column} <> {chr(39) * 2}' if partial else ''}"


def _identifier_type(kind: str, value: str, r: str) -> str:
    system, code = token(value)
    if not _system_is(system, systems.IDENTIFIER_TYPES) or not (code or system):
        return NEVER
    national = f"({r}.finess <> '' OR {_legal(r)} OR {r}.siret <> '' OR {r}.rpps_rank <> '')"
    known = {
        "Practitioner": {"RPPS": f"{r}.rpps <> ''", "IDNPS": f"{r}.national_id <> ''"},
        "Organization": {
            "IDNST": national,
            "FINEG": f"({r}.finess <> '' AND NOT {_legal(r)})",
            "FINEJ": _legal(r),
            "SIRET": f"{r}.siret <> ''",
            "SIREN": f"{r}.siren <> ''",
            "RPPSRG": f"{r}.technical_id <> ''",
        },
    }[kind]
    return known.get(code, NEVER) if code else _any(known.values())


def _system(kind: str, value: str, r: str) -> str:
    system, code = token(value)
    if system:
        return NEVER
    if kind != "Organization":
        return ALWAYS if code == "RPPS" else NEVER
    held = f"({r}.finess <> '' OR {r}.legal_finess <> '')"
    return {"FINESS": held, "RPPS": f"NOT {held}"}.get(code, NEVER)


def _registrar(query: Query, kind: str, value: str, r: str) -> str:
    system, code = token(value)
    if system or not code or kind != "Organization":
        return NEVER
    return f"{r}.registrar = {query.bind(code)}"


def _mailbox(query: Query, clause: Clause, value: str, r: str) -> Compiled:
    value = plain(value)
    sought, modifier = value.lower(), clause.modifier
    scans, indexed = False, ""
    if modifier == "exact":
        indexed = f"a.address_key = {query.bind(sought)}"
        met = f"{indexed} AND a.address = {query.bind(value)}" if value else NEVER
    elif modifier == "contains":
        local, at, domain = sought.partition("@")
        if not sought:
            met = ALWAYS
        elif at and domain:
            indexed = met = query.begins("a.domain", domain)
            if local:
                met = f"{met} AND {query.contains('a.address_key', sought)}"
        else:
            indexed = met = query.contains("a.address_key", sought)
            scans = True
    else:
        indexed = met = query.begins("a.address_key", sought)
    return _borne(query, clause.kind, met, r, indexed, scans=scans)


def _mailbox_kind(query: Query, kind: str, value: str, r: str) -> Compiled:
    system, code = token(value)
    if system is not None and canonical(system) not in (systems.MAILBOX_KIND, systems.EMAIL_KIND):
        return Compiled(NEVER)
    if not code and not system:
        return Compiled(NEVER)
    return _borne(query, kind, f"a.kind = {query.bind(code)}" if code else "a.kind <> ''", r)


def _borne(query: Query, kind: str, met: str, r: str, indexed: str = "", *, scans: bool = False) -> Compiled:
    """Who bears an address that meets a condition on `a`, and is shown; `indexed` is what of it an index alone tells."""
    if met == NEVER:
        return Compiled(NEVER)
    if kind == "Practitioner":
        bearer = f"a.practitioner_id = {r}.id AND {ALONE}"
        source = f"SELECT a.practitioner_id FROM addresses a WHERE {indexed} AND a.practitioner_id IS NOT NULL"
    elif kind == "Organization":
        bearer = f"a.organization_id = {r}.id AND a.practitioner_id IS NULL"
        source = f"SELECT a.organization_id FROM addresses a WHERE {indexed} AND a.organization_id IS NOT NULL"
    else:
        bearer = f"a.practitioner_id = {r}.practitioner_id AND +a.organization_id = {r}.organization_id"
        source = (
            "SELECT b.id FROM addresses a JOIN activities b ON b.practitioner_id = a.practitioner_id"
            f" AND b.organization_id = a.organization_id WHERE {indexed}"
        )
    predicate = _there(f"addresses a WHERE {bearer} AND {query.shown()} AND {met}")
    if not indexed:
        return Compiled(predicate)
    probe = f"SELECT 1 FROM addresses a WHERE {indexed}"
    return Compiled(predicate, source, scans=scans, seeks=kind == "PractitionerRole", probe=probe)


def _there(origin: str) -> str:
    """Whether there is any row. Not EXISTS, of which SQLite makes a join, and reads a whole table for its filter."""
    return f"((SELECT 1 FROM {origin} LIMIT 1) IS NOT NULL)"


def _any(parts: Iterable[str]) -> str:
    kept = [part for part in parts if part != NEVER]
    return f"({' OR '.join(kept)})" if kept else NEVER


def _union(parts: Iterable[str]) -> str:
    return " UNION ALL ".join(part for part in parts if part)
