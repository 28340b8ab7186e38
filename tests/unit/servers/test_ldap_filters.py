"""Filters of LDAP: what they say of an entry, and that a plan loses none that matches (RFC 4511 §4.5.1.7)."""

import unicodedata
from collections.abc import Iterator

import pytest
import sqlcipher3.dbapi2 as sqlcipher
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vaguemestre.directory import substrings
from vaguemestre.directory.listing import Listed
from vaguemestre.protocols.ldap import messages
from vaguemestre.protocols.ldap.messages import And, Approximate, Equality, Filter, Not, Or, Present, Substrings
from vaguemestre.servers.ldap import matching, plan
from vaguemestre.servers.ldap.matching import TooManyPartsError, fold
from vaguemestre.servers.ldap.schema import Schema

SCHEMA = Schema()


def line(
    given_name: str = "", family: str = "", address: str = "a@b.mssante.fr", name: str = "", city: str = ""
) -> Listed:
    """A line with these texts, of a person where there is a family name."""
    texts = dict.fromkeys(
        (
            *("service", "description", "responsible", "operator", "national_id", "rpps", "civility", "title"),
            *("profession", "category", "technical_id", "finess", "siret", "rpps_rank", "sign", "recipient", "point"),
            *("number", "repetition", "street_type", "street", "mention", "cedex", "postcode", "department", "country"),
            *("phone", "fax"),
        ),
        "",
    )
    return Listed(
        id=1, address=address, kind="PER", rank=None, digitization=None, practitioner_id=None, family=family,
        given=given_name, know_how=(), organization_id=None, elsewhere=False, name=name, city=city, **texts,
    )  # fmt: skip


class Entry:
    """A line as a filter sees it."""

    def __init__(self, of: Listed) -> None:
        self.line = of

    def folded(self, attribute: str) -> list[str]:
        if attribute == "objectClass":
            return [fold(value) for value in SCHEMA.classes(self.line)]
        found = SCHEMA.find(attribute)
        return [fold(value) for value in found.reading(self.line, {}) if value] if found else []

    def all_folded(self) -> list[str]:
        return [value for each in SCHEMA.attributes for value in self.folded(each.name)]

    def named(self, attribute: str) -> list[str]:
        return ["people"] if attribute in ("", "ou") else []


def known(name: str) -> str | None:
    found = SCHEMA.find(name)
    return "objectClass" if name.lower() == "objectclass" else found.name if found else None


def judged(wanted: Filter, of: Listed) -> bool | None:
    return matching.compiled(matching.plainly(wanted), known)(Entry(of))


DUPONT = line("Jean-Noël", "D'ARTAGNAN DUPONT", "jean-noel@cabinet.mssante.fr", "CABINET  DES LILAS", "ÉVIAN")
NOTHING = Present("x-unknown")


@pytest.mark.parametrize(
    ("wanted", "verdict"),
    [
        (Equality("cn", "jean-noel d'artagnan dupont"), True),
        (Equality("CommonName", "D’ARTAGNAN   DUPONT JEAN-NOËL"), True),
        (Equality("o", "cabinet des lilas"), True),
        (Equality("l", "evian"), True),
        (Equality("sn", "dupont"), False),
        (Equality("objectClass", "InetOrgPerson"), True),
        (Equality("objectClass", "organizationalUnit"), False),
        (Substrings("sn", "d'art", (), "pont"), True),
        (Substrings("sn", "d'artagnan", ("dup",), "dupont"), False),
        (Substrings("sn", "", ("gnan du", "ont"), ""), True),
        (Substrings("sn", "", ("ont", "gnan"), ""), False),
        (messages.GreaterOrEqual("l", "Évian"), True),
        (messages.LessOrEqual("l", "evia"), False),
        (Approximate("cn", "noel dup"), True),
        (Approximate("cn", "upont"), False),
        (Equality("anr", "dup jean"), True),
        (Substrings("anr", "jean-noel@cab", (), ""), True),
        (Equality("anr", "durand"), False),
        (Present("mail"), True),
        (Present("description"), False),
        (NOTHING, None),
        (Not(NOTHING), None),
        (Not(Present("description")), True),
        (And((Present("mail"), NOTHING)), None),
        (And((Present("description"), NOTHING)), False),
        (Or((Present("mail"), NOTHING)), True),
        (Or((Present("description"), NOTHING)), None),
        (And(()), True),
        (Or(()), False),
        (Equality("cn;lang-fr", "x"), None),
        (messages.UnknownFilter(), None),
        (messages.Extensible("caseIgnoreMatch", "", "evian", False), True),
        (messages.Extensible("", "l", "evian", False), True),
        (messages.Extensible("1.2.3", "l", "evian", False), None),
        (messages.Extensible("", "ou", "people", True), True),
    ],
)
def test_what_a_filter_says(wanted: Filter, verdict: bool | None) -> None:
    assert judged(wanted, DUPONT) is verdict


def test_a_filter_of_too_many_parts_is_refused() -> None:
    with pytest.raises(TooManyPartsError):
        matching.plainly(Or(tuple(Equality("cn", str(number)) for number in range(600))))


@pytest.mark.parametrize(
    ("wanted", "expression"),
    [
        (Substrings("cn", "", ("Dup",), ""), '{name} : "dup"'),
        (Substrings("cn", "Du", (), ""), '{name} : " du"'),
        (Or((Substrings("cn", "", ("dup",), ""), Substrings("mail", "", ("dup",), ""))), '({mail name} : "dup")'),
        (Or((Substrings("cn", "", ("dup",), ""), Present("x-unknown"))), '({name} : "dup")'),
        (And((Equality("objectClass", "person"), Substrings("sn", "", ("dup",), ""))), '{name} : "dup"'),
        (Equality("sn", 'a"bc'), '{name} : " a""bc"'),
    ],
)
def test_what_is_sought_in_the_index(wanted: Filter, expression: str) -> None:
    planned = plan.of(wanted, SCHEMA)
    assert planned.runs is not None
    assert plan.expression(planned.runs).removeprefix("(").removesuffix(")") in (
        expression,
        expression.removeprefix("(").removesuffix(")"),
    )


@pytest.mark.parametrize(
    "wanted",
    [
        Substrings("cn", "", ("du",), ""),
        Not(Equality("cn", "dup")),
        Present("mail"),
        Or((Substrings("cn", "", ("dup",), ""), Equality("postalCode", "69"))),
    ],
)
def test_where_no_index_helps_all_are_looked_at(wanted: Filter) -> None:
    assert plan.of(wanted, SCHEMA).everything


@pytest.fixture(scope="module")
def index() -> Iterator[sqlcipher.Connection]:
    """An index of one line, as `directory.substrings` makes it."""
    opened = sqlcipher.connect(":memory:", isolation_level=None)
    for statement in substrings._SCHEMA:
        opened.execute(statement)
    yield opened
    opened.close()


LETTERS = st.text("aàdeéuptn'-. \"*œß", max_size=5)
ATTRIBUTES = st.sampled_from(["cn", "sn", "mail", "o", "l", "ou", "x-unknown", "postalCode", "displayName", "anr"])
SIMPLE = st.one_of(
    st.builds(Equality, ATTRIBUTES, LETTERS),
    st.builds(Approximate, ATTRIBUTES, LETTERS),
    st.builds(Present, ATTRIBUTES),
    st.builds(Substrings, ATTRIBUTES, LETTERS, st.lists(LETTERS, max_size=2).map(tuple), LETTERS),
    st.builds(Equality, st.just("objectClass"), st.sampled_from(["person", "organizationalUnit", "other"])),
)
FILTERS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds(And, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Or, st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, inner),
    ),
    max_leaves=8,
)
NAMES = st.text("aàdeéuptn'-. œß", max_size=14)
LINES = st.builds(line, NAMES, NAMES, NAMES.map(lambda text: f"{text}@b.fr"), NAMES, NAMES)


@settings(max_examples=1500)
@given(FILTERS, LINES)
@example(Substrings("cn", "jean ", ("-n",), ""), DUPONT)
def test_a_plan_loses_nothing_that_matches(index: sqlcipher.Connection, wanted: Filter, of: Listed) -> None:
    wanted = matching.plainly(wanted)
    planned = plan.of(wanted, SCHEMA)
    texts = substrings.texts(of)
    for expression in (planned.runs, planned.first):
        if expression is None or expression == plan.NOTHING:
            continue
        index.execute("DELETE FROM runs WHERE rowid = 1")
        index.execute(substrings._PUT, (1, *texts))
        found = index.execute("SELECT 1 FROM runs WHERE runs MATCH ?", (plan.expression(expression),)).fetchall()
        assert bool(found) is plan.holds(expression, texts), "what the index finds is what `holds` says"
    if judged(wanted, of) is not True or planned.everything or planned.keys:
        return
    assert planned.runs is not None
    assert plan.holds(planned.runs, texts)


@settings(max_examples=300)
@given(NAMES, NAMES)
def test_case_and_accents_change_nothing(family: str, given_name: str) -> None:
    of = line(given_name, family)
    for value in (family, family.upper(), unicodedata.normalize("NFD", family)):
        if fold(family):
            assert judged(Equality("sn", value), of) is True
