"""The tree of the directory: what stands under the base, and searches of it.

    base                        what the configuration names
      ou=people                 addresses of persons (inetOrgPerson)
        uid=…
      ou=organizations          addresses of structures and of applications (organizationalUnit)
        uid=…

beside the root DSE and the subschema (RFC 4512 §4 and §5.1). An entry is an address, since that is what programs complete:
who has two has two entries. Only what `directory.listing` lists is an entry.

What it keeps true: an entry is found where its distinguished name says and by every filter it matches; a search gives
each once, in an order that a page's cookie continues (RFC 2696), holds no thread or loop for long, and stops within its
limits. Referrals there are none.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import sqlalchemy as sa

from vaguemestre import log
from vaguemestre.directory import listing, substrings
from vaguemestre.directory.listing import Key, Listed, is_person
from vaguemestre.directory.substrings import Substrings
from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap import encoding, messages, names
from vaguemestre.protocols.ldap.messages import Scope
from vaguemestre.protocols.ldap.names import Name
from vaguemestre.servers.ldap import matching, plan
from vaguemestre.servers.ldap.matching import Match, fold
from vaguemestre.servers.ldap.plan import Expression, Plan
from vaguemestre.servers.ldap.schema import Attribute, Schema, Values
from vaguemestre.storage.database import Database

_STEP = 101  # lines looked at in one go where an index led to them: what programs ask for, and one more
_STRIDE = 1024  # where none did
_MOST_KEYED = 10_000
_MOST_KEPT = 20_000  # entries in memory, of some 2 kB: what is typed letter by letter is found again and again
_MOST_SELECTIONS = 64
_SUBSCHEMA = "cn=subschema"
_log = log.get("servers.ldap")
_OPERATIONAL = ("entryDN", "subschemaSubentry", "structuralObjectClass")


class Stage(IntEnum):
    """What of a search is done, as its cookie says."""

    ABOVE = 0  # the base and its two branches
    KEYED = 1
    FIRST = 2
    REST = 3


@dataclass(frozen=True, slots=True)
class Position:
    """Where a search stands: its stage, and the last line looked at in it."""

    stage: Stage = Stage.ABOVE
    last: int = 0


@dataclass(frozen=True, slots=True)
class Found:
    """Some entries, as they go to the client but for the message's number, and where the search stands after each."""

    entries: list[bytes]
    positions: list[Position]
    position: Position


@dataclass(frozen=True, slots=True)
class Fixed:
    """An entry that is no address: its distinguished name as written, and its attributes."""

    dn: str
    name: Name
    attributes: Mapping[str, Values]
    operational: Mapping[str, Values] = field(default_factory=dict)

    def find(self, wanted: str) -> str | None:
        """The attribute of this name, in any case."""
        lower = wanted.lower()
        return next((each for each in (*self.attributes, *self.operational) if each.lower() == lower), None)

    def values(self, attribute: str) -> Values:
        """Its values."""
        return self.attributes.get(attribute) or self.operational.get(attribute, ())

    def folded(self, attribute: str) -> Iterable[str]:
        """See `matching.Entry`; by any name, since each such entry has its own attributes."""
        found = self.find(attribute)
        return [fold(value) for value in self.values(found)] if found else ()

    def all_folded(self) -> Iterable[str]:
        """See `matching.Entry`."""
        return [fold(value) for values in self.attributes.values() for value in values]

    def named(self, attribute: str) -> Iterable[str]:
        """See `matching.Entry`."""
        return [value for rdn in self.name for kind, value in rdn if not attribute or kind == attribute.lower()]


class Leaf:
    """The entry of an address, while a filter judges it."""

    __slots__ = ("_folded", "_tree", "line", "written")

    def __init__(self, tree: "Tree", line: Listed) -> None:
        self._tree = tree
        self.line = line
        self.written: dict[Selection, bytes] = {}
        """As it was told, by what was wanted of it."""
        self._folded: dict[str, list[str]] = {}

    def folded(self, attribute: str) -> Iterable[str]:
        """See `matching.Entry`."""
        found = self._folded.get(attribute)
        if found is None:
            values = self._tree.values(self.line, attribute)
            found = self._folded[attribute] = [fold(value) for value in values]
        return found

    def all_folded(self) -> Iterable[str]:
        """See `matching.Entry`."""
        every = (each.name for each in self._tree.schema.attributes)
        return [value for attribute in every for value in self.folded(attribute)]

    def named(self, attribute: str) -> Iterable[str]:
        """See `matching.Entry`."""
        name = names.parse(self._tree.dn(self.line))
        return [value for rdn in name for kind, value in rdn if not attribute or kind == attribute.lower()]


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Which attributes a client wants (RFC 4511 §4.5.1.8), by the names it is told them by; one for all who want the same."""

    attributes: tuple[Attribute, ...]
    classes: bool
    operational: tuple[str, ...]
    every_user: bool
    names: frozenset[str]
    types_only: bool


@dataclass(frozen=True, slots=True)
class Query:
    """A search understood: what is asked of each line, and how lines are found."""

    base: Name
    scope: Scope
    match: Match
    plan: Plan
    selection: Selection
    digest: bytes
    """Of the request: a cookie is good for the same one only."""


class NoSuchEntryError(VaguemestreError):
    """There is no entry of this name; `matched` is the DN of the nearest above it that there is, perhaps none."""

    def __init__(self, matched: str) -> None:
        super().__init__("There is no such entry here.", "Il n'y a pas de telle entrée ici.")
        self.matched = matched


class NotReadyError(VaguemestreError):
    """The index is being made."""

    def __init__(self) -> None:
        super().__init__(
            "The directory is being indexed. Try again in a few minutes.",
            "L'annuaire est en cours d'indexation. Réessayez dans quelques minutes.",
        )


class Tree:
    """The entries of one directory. Searches run in the event loop that made it; `close` it."""

    def __init__(
        self,
        register: Callable[[], Database],
        index: Substrings,
        schema: Schema,
        base: str,
        extensions: Mapping[str, Values],
    ) -> None:
        """`register` gives the one in use, and raises ConfigurationError where there is none yet.

        `extensions`: what the root DSE says of controls, extensions and mechanisms. Raises DnSyntaxError.
        """
        self.schema = schema
        self._register = register
        self._index = index
        self._base_dn = base
        self._base = folded_name(names.parse(base))
        self._branch_names = _branch("people", self._base), _branch("organizations", self._base)
        self._people = f"ou=people,{base}"
        self._organizations = f"ou=organizations,{base}"
        self._kept: tuple[int, dict[int, Leaf]] = (0, {})  # of one generation of the index
        self._selections: dict[tuple[tuple[str, ...], bool], Selection] = {}
        self._refreshing: asyncio.Task[None] | None = None
        self._closing = False
        self._trouble = ""  # what was last said of a register that cannot be followed
        self._root = Fixed(
            "",
            (),
            {"objectClass": ("top",)},
            {
                "namingContexts": (base,),
                "subschemaSubentry": (_SUBSCHEMA,),
                "supportedLDAPVersion": ("3",),
                "vendorName": ("Vaguemestre",),
                **extensions,
            },
        )
        self._fixed = [
            self._root,
            _entry(_SUBSCHEMA, schema.subschema(), "subschema"),
            _entry(base, _of_base(names.parse(base)), _class_of_base(names.parse(base))),
            _entry(self._people, {"objectClass": ("top", "organizationalUnit"), "ou": ("people",)}),
            _entry(self._organizations, {"objectClass": ("top", "organizationalUnit"), "ou": ("organizations",)}),
        ]

    # --- entries

    def dn(self, line: Listed) -> str:
        """The distinguished name of an address's entry."""
        return f"uid={line.id},{self._people if line.family else self._organizations}"

    def values(self, line: Listed, attribute: str) -> Sequence[str]:
        """The values of an attribute of an address, by the name that `known` gave."""
        found = self.schema.named.get(attribute)
        if found is not None:
            return found.reading(line, self._index.words)
        match attribute:
            case "objectClass":
                return self.schema.classes(line)
            case "entryDN":
                return (self.dn(line),)
            case "subschemaSubentry":
                return (_SUBSCHEMA,)
            case "structuralObjectClass":
                return ("inetOrgPerson" if is_person(line) else "organizationalUnit",)
        return ()

    def known(self, attribute: str) -> str | None:
        """The one name of an attribute, None where no entry of an address has it."""
        found = self.schema.find(attribute)
        if found is not None:
            return found.name
        lower = attribute.lower()
        if lower in ("objectclass", "2.5.4.0"):
            return "objectClass"
        return next((each for each in _OPERATIONAL if each.lower() == lower), None)

    # --- searches

    def query(self, request: messages.Search) -> Query:
        """Understand a search. Raises DnSyntaxError, NoSuchEntryError, TooManyPartsError."""
        base = folded_name(names.parse(request.base))
        wanted = matching.plainly(request.filter)
        scope = request.scope if request.scope is not None else Scope.BASE
        digest = hashlib.sha256(repr((base, scope, wanted, request.types_only, request.attributes)).encode()).digest()
        return Query(
            base,
            scope,
            matching.compiled(wanted, self.known),
            plan.of(wanted, self.schema),
            self._selection(request),
            digest[:8],
        )

    def fixed(self, query: Query, wanted: messages.Filter) -> list[bytes]:
        """The entries that are no addresses, within the scope, that match. Raises NoSuchEntryError for its base."""
        base, scope = query.base, query.scope
        if not self._is_there(base):
            raise NoSuchEntryError(self._nearest(base))
        found = []
        for entry in self._fixed:
            name = folded_name(entry.name)
            inside = _within(name, base, scope)
            if not base:
                inside = entry is self._root if scope is Scope.BASE else inside and name != ()
            if name and name == folded_name(((("cn", "subschema"),),)) and name != base:
                inside = False  # it stands in no naming context
            if inside:
                match = matching.compiled(matching.plainly(wanted), lambda name: name)
                if match(entry):
                    found.append(encoding.entry(entry.dn, self._encoded_fixed(entry, query.selection)))
        return found

    async def found(self, query: Query, position: Position) -> AsyncIterator[Found]:
        """The entries of addresses that match, after a position; take as many as wanted.

        Raises NoSuchEntryError, NotReadyError, StorageFailure.
        """
        if self._leaf_of(query.base) is not None:
            line = await self.line(query.base)
            if line is None:
                raise NoSuchEntryError(self._nearest(query.base))
            if query.scope is not Scope.ONE_LEVEL and position.stage is Stage.ABOVE:
                yield self._judge(query, Stage.KEYED, [Leaf(self, line)], set(), plan.NOTHING, 0)
            return
        if not _goes_below(query, self._base) or query.base not in (*self._branches(), *self._above()):
            return
        self._ready()
        keyed = await self._keyed(query.plan)
        for stage in (Stage.KEYED, Stage.FIRST, Stage.REST):
            if position.stage <= stage:
                last = position.last if position.stage is stage else 0
                async for some in self._steps(query, stage, keyed, last):
                    yield some

    async def line(self, name: Name) -> Listed | None:
        """The address of an entry, or None. Raises NotReadyError, StorageFailure."""
        leaf = self._leaf_of(name)
        if leaf is None:
            return None
        self._ready()
        keyed = await self._keyed(Plan(keys=frozenset({(Key.ID, leaf)})))
        lines = await self._index.current().read_async(self._index.lines, keyed) if keyed else []
        return next((line for line in lines if self._branch_of(line) == name[1:]), None)

    def leaf(self, line: Listed) -> Leaf:
        """The entry of an address, to be judged."""
        return Leaf(self, line)

    def entry_of(self, name: Name) -> Fixed | None:
        """The entry of this name that is no address, or None."""
        return next((each for each in self._fixed if folded_name(each.name) == name), None)

    def missing(self, name: Name) -> NoSuchEntryError:
        """That there is no such entry."""
        return NoSuchEntryError(self._nearest(name))

    # --- the index

    def _ready(self) -> None:
        if not self._index.ready:
            raise NotReadyError

    async def refresh(self) -> None:
        """Bring the index to what the register holds; long the first time. To be called every few seconds."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refresh(), name="follow the register")
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        try:
            await asyncio.to_thread(lambda: self._index.refresh(self._register(), lambda: not self._closing))
        except VaguemestreError as error:  # what is there serves meanwhile
            if error.en != self._trouble:
                _log.error("the register could not be followed", error=error.en)
            self._trouble = error.en
        else:
            self._trouble = ""

    async def close(self) -> None:
        """Let go of the index, once what makes it has stopped."""
        self._closing = True
        if self._refreshing is not None:
            await asyncio.wait([self._refreshing])
        self._index.close()

    # --- steps

    async def _keyed(self, wanted: Plan) -> list[int]:
        found: set[int] = set()
        for key, value in wanted.keys:
            register = self._register()
            found.update(await register.read_async(listing.keyed, key, value, _MOST_KEYED))
        return sorted(found)

    async def _steps(self, query: Query, stage: Stage, keyed: Sequence[int], last: int) -> AsyncIterator[Found]:
        first, runs = query.plan.first, query.plan.runs
        if stage is Stage.KEYED:
            for start in range(0, len(keyed), _STEP):
                part = [number for number in keyed[start : start + _STEP] if number > last]
                if part:
                    yield await self._index.current().read_async(self._look_at, query, part)
            return
        avoided = set(keyed)
        expression = ""
        skipped: Expression = plan.NOTHING
        if stage is Stage.FIRST:
            if first == plan.NOTHING:
                return
            expression = plan.expression(first)
        elif runs is None:
            skipped = first
        elif runs in (plan.NOTHING, first):
            return
        elif first == plan.NOTHING:
            expression = plan.expression(runs)
        else:
            expression = f"({plan.expression(runs)}) NOT ({plan.expression(first)})"
        step = _STEP if expression else _STRIDE
        more = True
        while more:
            some, more = await self._index.current().read_async(
                self._look, query, stage, expression, last, step, avoided, skipped
            )
            last = some.position.last
            yield some

    def _look_at(self, connection: sa.Connection, query: Query, numbers: Sequence[int]) -> Found:
        return self._judge(query, Stage.KEYED, self._leaves(connection, numbers), set(), plan.NOTHING, 0)

    def _leaves(self, connection: sa.Connection, numbers: Sequence[int]) -> "list[Leaf]":
        """The entries of these lines, in their order, kept from one search to the next."""
        # Asked before anything is read: what was read of the generation before is kept with that one, and forgotten.
        generation, kept = self._kept
        if generation != self._index.generation or len(kept) > _MOST_KEPT:
            self._kept = generation, kept = self._index.generation, {}
        missing = [number for number in numbers if number not in kept]
        if missing:
            for line in self._index.lines(connection, missing):
                kept[line.id] = Leaf(self, line)
        return [kept[number] for number in numbers if number in kept]

    def _look(
        self,
        connection: sa.Connection,
        query: Query,
        stage: Stage,
        expression: str,
        last: int,
        step: int,
        avoided: set[int],
        skipped: Expression,
    ) -> tuple[Found, bool]:
        """The next lines, and whether there may be more."""
        index = self._index
        if expression:
            numbers = index.find(connection, expression, last, step)
            leaves = self._leaves(connection, numbers)
        else:
            leaves = [Leaf(self, line) for line in index.follow(connection, last, step)]
            numbers = [leaf.line.id for leaf in leaves]
        return self._judge(query, stage, leaves, avoided, skipped, last), len(numbers) == step

    def _judge(
        self,
        query: Query,
        stage: Stage,
        leaves: Sequence[Leaf],
        avoided: set[int],
        skipped: Expression,
        last: int,
    ) -> Found:
        entries, positions = [], []
        match, selection = query.match, query.selection
        for leaf in leaves:
            line = leaf.line
            if line.id in avoided or not self._in_scope(line, query):
                continue
            if skipped != plan.NOTHING and plan.holds(skipped, substrings.texts(line)):
                continue
            if match(leaf) is True:
                written = leaf.written.get(selection)
                if written is None:
                    written = leaf.written[selection] = encoding.entry(self.dn(line), self._encoded(line, selection))
                entries.append(written)
                positions.append(Position(stage, line.id))
        return Found(entries, positions, Position(stage, leaves[-1].line.id if leaves else last))

    # --- names

    def _above(self) -> tuple[Name, ...]:
        return ((), self._base)

    def _branches(self) -> tuple[Name, Name]:
        return self._branch_names

    def _branch_of(self, line: Listed) -> Name:
        return self._branch_names[0 if line.family else 1]

    def _in_scope(self, line: Listed, query: Query) -> bool:
        if len(query.base) <= len(self._base):  # above the branches
            return True
        return query.base[-len(self._base) - 1 :] == self._branch_of(line)

    def _leaf_of(self, name: Name) -> str | None:
        """The `uid` of a name below one of the branches."""
        if len(name) == len(self._base) + 2 and name[1:] in self._branches():
            kind, value = name[0][0]
            if kind == "uid" and len(name[0]) == 1:
                return value
        return None

    def _is_there(self, name: Name) -> bool:
        return self.entry_of(name) is not None or self._leaf_of(name) is not None

    def _nearest(self, name: Name) -> str:
        """The DN of the nearest entry above (RFC 4511 §4.1.9), empty where it is the root."""
        for length in range(1, len(name)):
            found = self.entry_of(name[length:])
            if found is not None:
                return found.dn
        return ""

    # --- attributes

    def _selection(self, request: messages.Search) -> Selection:
        same = self._selections.get((request.attributes, request.types_only))
        if same is not None:
            return same
        wanted = [each.lower() for each in request.attributes]
        every = not wanted or "*" in wanted
        found = [self.schema.find(each) for each in wanted]
        chosen = self.schema.attributes if every else tuple(dict.fromkeys(each for each in found if each is not None))
        operational = _OPERATIONAL if "+" in wanted else tuple(each for each in _OPERATIONAL if each.lower() in wanted)
        classes = every or "objectclass" in wanted or "2.5.4.0" in wanted
        if len(self._selections) >= _MOST_SELECTIONS:  # entries kept as they were told go with them
            self._selections, self._kept = {}, (0, {})
        made = Selection(chosen, classes, operational, every, frozenset(wanted), request.types_only)
        return self._selections.setdefault((request.attributes, request.types_only), made)

    def _encoded(self, line: Listed, selection: Selection) -> list[bytes]:
        words, types_only = self._index.words, selection.types_only
        found = []
        if selection.classes:
            found.append(encoding.attribute("objectClass", () if types_only else self.schema.classes(line)))
        for attribute in selection.attributes:
            values = attribute.reading(line, words)
            if values:
                found.append(encoding.attribute(attribute.name, () if types_only else values))
        for name in selection.operational:
            found.append(encoding.attribute(name, () if types_only else self.values(line, name)))
        return found

    def _encoded_fixed(self, entry: Fixed, selection: Selection) -> list[bytes]:
        found = []
        for attributes, every in (
            (entry.attributes, selection.every_user),
            # The root DSE's are told to who asks for all, as programs do without knowing better.
            (entry.operational, "+" in selection.names or (entry is self._root and selection.every_user)),
        ):
            for name, values in attributes.items():
                if every or name.lower() in selection.names:
                    found.append(encoding.attribute(name, () if selection.types_only else values))
        return found


def folded_name(name: Name) -> Name:
    """A name as it is compared (RFC 4517 §4.2.15)."""
    return tuple(tuple(sorted((kind, fold(value)) for kind, value in rdn)) for rdn in name)


def _branch(name: str, base: Name) -> Name:
    return ((("ou", name),), *base)


def _within(name: Name, base: Name, scope: Scope) -> bool:
    depth = len(name) - len(base)
    if depth < 0 or (base and name[depth:] != base):
        return False
    return scope is Scope.SUBTREE or depth == (0 if scope is Scope.BASE else 1)


def _goes_below(query: Query, base: Name) -> bool:
    """Whether the scope reaches addresses: they stand one below a branch."""
    if query.scope is Scope.BASE:
        return False
    return query.scope is Scope.SUBTREE or len(query.base) == len(base) + 1


def _entry(dn: str, attributes: Mapping[str, Values], structural: str = "organizationalUnit") -> Fixed:
    operational = {
        "entryDN": (dn,),
        "subschemaSubentry": (_SUBSCHEMA,),
        "structuralObjectClass": (structural,),
    }
    return Fixed(dn, names.parse(dn), attributes, operational)


def _class_of_base(base: Name) -> str:
    kind = base[0][0][0] if base else ""
    return "organizationalUnit" if kind == "ou" else "organization"


def _of_base(base: Name) -> dict[str, Values]:
    kind, value = base[0][0]
    if kind == "dc":
        return {"objectClass": ("top", "dcObject", "organization"), "dc": (value,), "o": (value,)}
    if kind == "ou":
        return {"objectClass": ("top", "organizationalUnit"), "ou": (value,)}
    extra = {} if kind == "o" else {kind: (value,)}
    return {"objectClass": ("top", "organization"), "o": (value,), **extra}
