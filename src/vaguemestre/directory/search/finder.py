"""Searching: from what somebody typed to the people and structures meant, in a few reads of the index.

What it keeps true: an answer comes from one state of the index; its cost is bounded whatever is typed: a few hundred rows
are looked at, from lists that are read in their order and no further than needed. An index replaced or changed by another
process is seen by the next search.

Flow: the text taken apart (`asking`) → identifiers, by their keys → all words, as whole words or beginnings; where more
records have them than are looked at, first those that have them whole, in the name, close to the searcher → where there is
room left, near words → ranked (`ranking`) → said (`answers`). Records with an address are looked for first, always.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from vaguemestre.directory.search import answers, asking, entries, index, vocabulary
from vaguemestre.directory.search.answers import Answer, Dates
from vaguemestre.directory.search.asking import Breadth, Expressions, Question, Where
from vaguemestre.directory.search.index import Shelf
from vaguemestre.directory.search.ranking import Nearby, Ranked, in_order, rank
from vaguemestre.directory.search.records import STRUCTURES, Person, Record, Structure, decode
from vaguemestre.directory.search.spoken import DEPARTMENTS, PROFESSIONS, SPECIALITIES, Spoken
from vaguemestre.documents.words import words
from vaguemestre.errors import ConfigurationError

MOST_RESULTS: Final = 100
_WINDOW = 40  # records looked at for each breadth, at least; more where more results are wanted
_REMEMBERED = 2048
_MOST_CORRESPONDENTS = 500
_MANY_WORDS, _FEW_RESULTS = 3, 2
_FEWEST_DIGITS = 6  # of a number that is being typed
_PARTIAL = ((11, "rpps"), (9, "finess"), (14, "siret"))

_NAMESAKES = "SELECT name, thing, profession, department FROM json_each(?) CROSS JOIN namesakes ON name = value LIMIT ?"

# From the narrowest to the widest, in the order of `ranking`.
_STEPS = (
    (Breadth.EXACT, Where.ALL_IN_NAME),
    (Breadth.EXACT, Where.ONE_IN_NAME),
    (Breadth.LAST_BEGINNING, Where.ALL_IN_NAME),
    (Breadth.LAST_BEGINNING, Where.ONE_IN_NAME),
    (Breadth.BEGINNING, Where.ALL_IN_NAME),
    (Breadth.BEGINNING, Where.ONE_IN_NAME),
    (Breadth.EXACT, Where.ANYWHERE),
    (Breadth.LAST_BEGINNING, Where.ANYWHERE),
    (Breadth.BEGINNING, Where.ANYWHERE),
)


@dataclass(frozen=True, slots=True)
class Criteria:
    """What results must have, each empty where anything will do.

    `profession`, `know_how` and `department` take a code or words; `organization` a FINESS, a SIRET or words of its name;
    `kind` is PER, ORG, APP or CAB; `address` any part of one.
    """

    profession: str = ""
    know_how: str = ""
    town: str = ""
    postcode: str = ""
    department: str = ""
    organization: str = ""
    service: str = ""
    kind: str = ""
    address: str = ""


NO_CRITERIA: Final = Criteria()


class Correspondents:
    """Whom a searcher has written to: addresses, each with a weight above zero. Made once for many searches."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        strongest = sorted(weights, key=lambda address: -weights[address])[:_MOST_CORRESPONDENTS]
        self.weights = {address.lower(): weights[address] for address in strongest}
        self.known: tuple[object, list[tuple[Record, frozenset[str]]]] = (None, [])


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question being answered."""

    question: Question
    filters: list[str]
    nearby: Nearby | None
    correspondents: Correspondents | None
    limit: int

    @property
    def window(self) -> int:
        return max(_WINDOW, 2 * self.limit)


class Finder:
    """Searches an index, from any thread, several at once. `close` it."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._lock = threading.Lock()
        self._idle: list[_Reader] = []
        self._stamp: object = None

    def search(
        self,
        text: str,
        *,
        criteria: Criteria = NO_CRITERIA,
        near: str = "",
        limit: int = 10,
        correspondents: Correspondents | None = None,
    ) -> Answer:
        """The people and structures meant by `text`, the best first. `near`: the searcher's postcode, town or département.

        Raises ConfigurationError where there is no index yet, KeyFailure.
        """
        limit = max(1, min(limit, MOST_RESULTS))
        with self._reader() as reader:
            return reader.search(text, criteria, near, limit, correspondents)

    def ready(self) -> bool:
        """Whether there is an index to search."""
        return self._shelf.current() is not None

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            for reader in self._idle:
                reader.close()
            self._idle.clear()

    @contextmanager
    def _reader(self) -> Iterator["_Reader"]:
        stamp = self._shelf.stamp()
        with self._lock:
            if stamp != self._stamp:
                for reader in self._idle:
                    reader.close()
                self._idle.clear()
                self._stamp = stamp
            idle = self._idle.pop() if self._idle else None
        reader = idle or self._open(stamp)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        with self._lock:
            if reader.stamp == self._stamp:
                self._idle.append(reader)
                return
        reader.close()

    def _open(self, stamp: object) -> "_Reader":
        path = self._shelf.current()
        if path is None:
            raise ConfigurationError(
                "There is no search index yet. Run: vaguemestre directory import FILES",
                "Il n'y a pas encore d'index de recherche. Lancez : vaguemestre directory import FICHIERS",
            )
        return _Reader(index.open_reader(path, self._shelf.key), stamp)


class _Reader:
    """One connection to an index, and what it remembers of it. One search at a time."""

    def __init__(self, connection: Any, stamp: object) -> None:
        self._connection = connection
        self.stamp = stamp
        self._version: int | None = None
        self._spoken: Spoken
        self._dates: Dates
        self._remembered: OrderedDict[tuple[Any, ...], Answer] = OrderedDict()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def search(
        self, text: str, criteria: Criteria, near: str, limit: int, correspondents: Correspondents | None
    ) -> Answer:
        """See Finder."""
        self._connection.execute("BEGIN")
        try:
            self._renew()
            key = (text, criteria, near, limit)
            if correspondents is None and key in self._remembered:
                self._remembered.move_to_end(key)
                return self._remembered[key]
            answer = self._answer(text, criteria, near, limit, correspondents)
            if correspondents is None:
                self._remembered[key] = answer
                if len(self._remembered) > _REMEMBERED:
                    self._remembered.popitem(last=False)
            return answer
        finally:
            self._connection.execute("COMMIT")

    def _renew(self) -> None:
        """Forget what was remembered of another state of the file."""
        version = self._connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._version:
            return
        self._version = version
        self._remembered.clear()
        labels = self._connection.execute("SELECT system, code, label FROM labels")
        self._spoken = Spoken({(system, code): label for system, code, label in labels})
        self._dates = Dates(self._connection.execute("SELECT id, at, origin, stamp FROM revisions").fetchall())

    def _answer(
        self, text: str, criteria: Criteria, near: str, limit: int, correspondents: Correspondents | None
    ) -> Answer:
        filters = self._filters(criteria)
        question = asking.question(text)
        if filters is None:
            return self._said([], False, [])
        asked = _Asked(question, filters, self._nearby(near), correspondents, limit)
        exact = [] if filters else self._identified(question)
        asked = _Asked(question, filters, self._nearby(near), correspondents, limit)
        if exact:
            exact = self._among(exact, asked) or exact
            return self._said(exact[:limit], len(exact) > limit, [])
        if not question.words and not filters:
            return self._said([], False, [])
        ranked, more, ignored = self._ranked(asked)
        if not ranked and question.unfinished_particle:
            ranked, more, ignored = self._ranked(replace(asked, question=asking.without_last(question)))
        return self._said(ranked[:limit], more, ignored)

    def _among(self, exact: list[Ranked], asked: _Asked) -> list[Ranked]:
        """Who has the other words asked, of those who practise in a structure given by its number."""
        others = replace(asked.question, words=asked.question.apart)
        places = [each.record.id for each in exact if isinstance(each.record, Structure)]
        if not others.words or not places:
            return []
        here = " OR ".join(entries.organization_filter(place) for place in places)
        return self._ranked(replace(asked, question=others, filters=[f"({here})"]))[0]

    def _said(self, ranked: list[Ranked], more: bool, ignored: list[str]) -> Answer:
        namesakes = self._namesakes([each.record for each in ranked if isinstance(each.record, Person)])
        results = [answers.found(each, self._spoken, self._dates, namesakes.get(each.record.thing)) for each in ranked]
        return Answer(results, more, ignored, self._dates.extraction)

    def _namesakes(self, people: Sequence[Person]) -> dict[int, list[tuple[int, str, str]]]:
        """Of each person, by thing, all who have the same name: thing, profession, département."""
        names = {person.thing: entries.namesake(person) for person in people}
        found: dict[int, list[tuple[int, str, str]]] = {name: [] for name in names.values()}
        asked = msgspec.json.encode(list(found)).decode()
        for name, *other in self._connection.execute(_NAMESAKES, (asked, answers.MOST_NAMESAKES * len(found))):
            found[name].append((other[0], other[1], other[2]))
        return {thing: found[name] for thing, name in names.items()}

    # By number

    def _identified(self, question: Question) -> list[Ranked]:
        """Those whose identifier or address was typed, whole or, where nothing else was, its first digits."""
        things: dict[int, None] = {}
        for identifier in question.identifiers:
            found = self._things(identifier)
            things |= dict.fromkeys(found)
            if any(thing > STRUCTURES for thing in found):
                expression = " OR ".join(entries.organization_filter(thing - STRUCTURES) for thing in found)
                for table in ("present", "absent"):
                    things |= dict.fromkeys(doc & index.THING_MASK for doc in self._docs(table, expression, _WINDOW))
        if not things and len(question.words) == 1 and question.words[0].forms[0].isdigit():
            things |= dict.fromkeys(self._beginning_with(question.words[0].forms[0]))
        return [answers.by_identifier(record) for record, _ in self._records(things)]

    def _things(self, identifier: str) -> list[int]:
        statement = "SELECT thing FROM identifiers WHERE number = ? ORDER BY thing DESC LIMIT 20"
        found = self._connection.execute(statement, (entries.number(identifier),)).fetchall()
        if not found and len(identifier) == 12 and identifier.startswith("8"):
            return self._things(identifier[1:])  # IdNat_PS: 8 and the RPPS
        return [thing for (thing,) in found]

    def _beginning_with(self, digits: str) -> list[int]:
        if len(digits) < _FEWEST_DIGITS or digits.startswith("0"):
            return []
        found: list[int] = []
        for length, _ in _PARTIAL:
            if len(digits) < length:
                low = int(digits) * 10 ** (length - len(digits))
                high = low + 10 ** (length - len(digits)) - 1
                statement = "SELECT thing FROM identifiers WHERE number BETWEEN ? AND ? LIMIT 20"
                found += [thing for (thing,) in self._connection.execute(statement, (low, high))]
        return found

    # By words

    def _ranked(self, asked: _Asked) -> tuple[list[Ranked], bool, list[str]]:
        """Those who answer, in order; whether there are more; the words set aside because nothing has them."""
        expressions = Expressions(self._connection, asked.question, asked.filters)
        ranked: dict[int, Ranked] = {}
        self._add(ranked, self._known_correspondents(asked), asked)
        more = self._look(expressions, asked, ranked)
        ignored: list[str] = []
        # Three words or more that somebody has are hardly mistaken, and near ones of each are long to look up.
        enough = asked.limit if len(asked.question.words) < _MANY_WORDS else min(asked.limit, _FEW_RESULTS)
        if len(ranked) < enough and asked.question.words:
            if expressions.near():
                self._look_near(expressions, asked, ranked)
            if not ranked and len(asked.question.words) > 1:
                known = [word for word in asked.question.words if self._is_known(word)]
                ignored = [word.forms[0] for word in asked.question.words if word not in known]
                if known and ignored:
                    fewer = replace(asked, question=replace(asked.question, words=known))
                    found, more, _ = self._ranked(fewer)
                    return found, more, ignored
        ordered = in_order(list(ranked.values()), asked.limit)
        return ordered, more or len(ranked) > len(ordered), []

    def _is_known(self, word: asking.Word) -> bool:
        known = any(vocabulary.beginning(self._connection, form) != [] for form in word.forms)
        return known or word.forms[0].isdigit() or bool(word.near)

    def _look(self, expressions: Expressions, asked: _Asked, ranked: dict[int, Ranked]) -> bool:
        """Whole words and beginnings; whether there are more than were looked at."""
        more = self._look_in_order(expressions, asked, ranked)
        if more and expressions.shortened and len(ranked) < asked.limit:
            expressions.shortening = False  # dearer, and needed where most words that begin so go on otherwise
            more = self._look_in_order(expressions, asked, ranked)
        return more

    def _look_in_order(self, expressions: Expressions, asked: _Asked, ranked: dict[int, Ranked]) -> bool:
        window = asked.window
        everything = expressions.expression(Breadth.BEGINNING)
        present = self._docs("present", everything, window)
        more = len(present) == window
        if more:
            present = self._best("present", expressions, asked)
        self._add(ranked, self._of(present), asked)
        if sum(not each.loose for each in ranked.values()) < asked.limit:
            absent = self._docs("absent", everything, window)
            if len(absent) == window:
                more = True
                absent = self._best("absent", expressions, asked)
            self._add(ranked, self._of(absent), asked)
        elif asked.question.words:  # named whole, without an address: a few are shown nonetheless
            whole = expressions.expression(Breadth.EXACT, Where.ALL_IN_NAME)
            self._add(ranked, self._of(self._docs("absent", whole, max(1, asked.limit // 3))), asked)
        return more

    def _best(self, table: str, expressions: Expressions, asked: _Asked) -> list[int]:
        """The rows to look at where there are more than can be: the narrowest searches first, closest places first."""
        found: dict[int, None] = {}
        window = asked.window
        one_word = len(asked.question.words) < 2
        seen = set()
        for breadth, where in _STEPS:
            expression = expressions.expression(breadth, where)
            if expression in seen or (one_word and where is Where.ONE_IN_NAME):
                continue
            seen.add(expression)
            docs = self._docs(table, expression, window)
            if len(docs) == window and asked.nearby is not None:
                for place in asked.nearby.filters():
                    close = expressions.expression(breadth, where, (place,))
                    found |= dict.fromkeys(self._docs(table, close, window))
                    if len(found) >= window:
                        break
            found |= dict.fromkeys(docs)
            if len(found) >= window:
                break
        return list(found)

    def _look_near(self, expressions: Expressions, asked: _Asked, ranked: dict[int, Ranked]) -> None:
        """Near words, where whole ones and beginnings leave room."""
        for table in ("present", "absent"):
            where = Where.ANYWHERE
            docs = self._docs(table, expressions.expression(Breadth.NEAR, where), asked.window)
            if len(docs) == asked.window:
                docs += self._docs(table, expressions.expression(Breadth.NEAR, Where.ALL_IN_NAME), asked.window)
            self._add(ranked, self._of(docs), asked)
            if len(ranked) >= asked.limit:
                return

    def _docs(self, table: str, expression: str, limit: int) -> list[int]:
        found = self._connection.execute(f"SELECT rowid FROM {table} (?) LIMIT ?", (expression, limit))  # noqa: S608
        return [doc for (doc,) in found]

    def _of(self, docs: Iterable[int]) -> Iterator[Record]:
        """The records of full-text rows, but those of former versions."""
        wanted = set(docs)
        for record, doc in self._records(dict.fromkeys(doc & index.THING_MASK for doc in wanted)):
            if doc in wanted:
                yield record

    def _records(self, things: Mapping[int, None]) -> list[tuple[Record, int]]:
        """Records by their numbers, in that order, and their rows' numbers; those that are gone are left out."""
        if not things:
            return []
        statement = "SELECT thing, content, doc FROM records WHERE thing IN (SELECT value FROM json_each(?))"
        found = self._connection.execute(statement, (msgspec.json.encode(list(things)).decode(),))
        by_thing = {thing: (decode(content), doc) for thing, content, doc in found if content}
        return [by_thing[thing] for thing in things if thing in by_thing]

    def _add(self, ranked: dict[int, Ranked], records: Iterable[Record], asked: _Asked) -> None:
        weights = asked.correspondents.weights if asked.correspondents is not None else {}
        for record in records:
            if record.thing not in ranked:
                found = rank(record, asked.question, self._spoken, asked.nearby, weights)
                if found is not None:
                    ranked[record.thing] = found

    def _known_correspondents(self, asked: _Asked) -> Iterator[Record]:
        """Those written to before that may answer: they might not be among the first rows."""
        whom = asked.correspondents
        if whom is None or not asked.question.words or asked.filters:
            return
        state = (self.stamp, self._version)
        if whom.known[0] != state:
            things = {thing: None for address in whom.weights for thing in self._things(address)}
            whom.known = state, [(record, self._all_words(record)) for record, _ in self._records(things)]
        for record, said in whom.known[1]:
            if all(any(each.startswith(form) for form in word.forms for each in said) for word in asked.question.words):
                yield record

    def _all_words(self, record: Record) -> frozenset[str]:
        return frozenset(entries.own_words(record) | entries.other_words(record, self._spoken))

    # Criteria and places

    def _filters(self, criteria: Criteria) -> list[str] | None:
        """What criteria ask of the index; None where nothing can meet them."""
        if criteria is NO_CRITERIA:
            return []
        spoken = self._spoken
        found: list[list[str]] = []
        if criteria.profession:
            found.append([entries.profession_filter(each) for each in spoken.codes(PROFESSIONS, criteria.profession)])
        if criteria.know_how:
            found.append([entries.know_how_filter(each) for each in spoken.codes(SPECIALITIES, criteria.know_how)])
        if criteria.town:
            found.append([entries.town_filter(criteria.town)])
        if criteria.postcode:
            found += [[f"{entries.OTHER}{word} *"] for word in words(criteria.postcode)]
        if criteria.department:
            found.append([entries.department_filter(each) for each in self._departments(criteria.department)])
        if criteria.organization:
            found += self._organizations(criteria.organization)
        if criteria.kind:
            found.append([entries.kind_filter(kind) for kind in words(criteria.kind)])
        for text in (criteria.service, criteria.address):
            found += [
                [f"{entries.OTHER}{word} *", f"{entries.OWN}{word} *"] for word in entries.address_words(text.lower())
            ]
        if any(not ways for ways in found):
            return None
        return [ways[0] if len(ways) == 1 else f"({' OR '.join(ways)})" for ways in found]

    def _departments(self, asked: str) -> Sequence[str]:
        code = asked.strip().upper()
        is_code = code.isdigit() or (len(code) == 2 and code[:1].isdigit())
        return [code.zfill(2)] if is_code else self._spoken.codes(DEPARTMENTS, asked)

    def _organizations(self, asked: str) -> list[list[str]]:
        identifier = "".join(asked.split()).upper()
        if identifier[:1].isdigit() and identifier[2:].isdigit():
            places = [thing - STRUCTURES for thing in self._things(identifier) if thing > STRUCTURES]
            return [[entries.organization_filter(place) for place in places]]
        return [[f"{entries.OTHER}{word} *", f"{entries.OWN}{word} *"] for word in words(asked)]

    def _nearby(self, near: str) -> Nearby | None:
        """Where the searcher is, from what they say: a postcode, a département, or a town."""
        near = near.strip()
        if not near:
            return None
        if near[:1].isdigit():
            code = near.upper()
            return Nearby(code, "", _department_of(code)) if len(code) == 5 else Nearby("", "", code.zfill(2))
        town = entries.town_filter(near)
        for table in ("present", "absent"):
            for record in self._of(self._docs(table, town, 1)) if len(town) > 2 else ():
                department = next(
                    (each.department for each in record.places if entries.town_filter(each.city) == town), ""
                )
                return Nearby("", town, department)
        return Nearby("", town, "") if len(town) > 2 else None


def _department_of(postcode: str) -> str:
    """The département of a postcode: three digits overseas, and Corsica's two by its third digit."""
    if postcode.startswith(("97", "98")):
        return postcode[:3]
    if postcode.startswith("20"):
        return "2A" if postcode[2] in "01" else "2B"
    return postcode[:2]
