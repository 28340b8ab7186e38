"""What is read of FHIR requests: dates of any precision, values and their escapes, mailboxes in both shapes, patches."""

import contextlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.fhir import dates, mailboxes, patch, search, systems
from vaguemestre.documents.fhir.mailboxes import Mailbox, MailboxError
from vaguemestre.documents.fhir.patch import PatchError
from vaguemestre.documents.fhir.search import SearchError

NOW = 1_790_000_000_000


def _at(*parts: int) -> int:
    return round(datetime(*parts, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", _at(2026, 1, 1), _at(2027, 1, 1)),
        ("2026-12", _at(2026, 12, 1), _at(2027, 1, 1)),
        ("2026-02-28", _at(2026, 2, 28), _at(2026, 3, 1)),
        ("2026-11-25T14:51", _at(2026, 11, 25, 14, 51), _at(2026, 11, 25, 14, 52)),
        ("2026-11-25T14:51:04", _at(2026, 11, 25, 14, 51, 4), _at(2026, 11, 25, 14, 51, 5)),
        ("2026-11-25T14:51:04.003Z", _at(2026, 11, 25, 14, 51, 4) + 3, _at(2026, 11, 25, 14, 51, 4) + 4),
        ("2026-11-25T14:51:04+02:00", _at(2026, 11, 25, 12, 51, 4), _at(2026, 11, 25, 12, 51, 5)),
        ("2026-11-25T14:51:04 02:00", _at(2026, 11, 25, 12, 51, 4), _at(2026, 11, 25, 12, 51, 5)),
    ],
)
def test_a_date_is_a_span_of_its_precision(text: str, low: int, high: int) -> None:
    assert dates.spans(text, NOW) == ((low, high),)
    assert dates.spans(f"eq{text}", NOW) == ((low, high),)
    least, most = dates.spans(f"ne{text}", NOW)
    assert (least[1], most[0]) == (low, high)
    starts = {prefix: dates.spans(prefix + text, NOW)[0] for prefix in ("gt", "sa", "ge", "lt", "eb", "le")}
    assert starts["gt"][0] == starts["sa"][0] == high
    assert starts["ge"][0] == low
    assert starts["lt"][1] == starts["eb"][1] == low
    assert starts["le"][1] == high


@pytest.mark.parametrize(
    "text", ["", "26", "2026-13", "2026-02-30", "yesterday", "ge", "2026-11-25T25:00", "0000", "²026"]
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(SearchError):
        search.read("Practitioner", [("_lastUpdated", text or "x")])


@given(st.text(max_size=40))
def test_any_value_is_read_or_refused(value: str) -> None:
    for name in (
        "_lastUpdated",
        "identifier",
        "name",
        "_include",
        "_sort",
        "_count",
        "_elements",
        "_has:PractitionerRole:x",
    ):
        with contextlib.suppress(SearchError):  # any other error is a defect
            search.read("Practitioner", [(name, value)])


@pytest.mark.parametrize(
    ("text", "values"),
    [("a,b", ("a", "b")), (r"a\,b,c", (r"a\,b", "c")), (r"a\\,b", (r"a\\", "b")), (",,", ()), ("a", ("a",))],
)
def test_commas_part_values_unless_escaped(text: str, values: tuple[str, ...]) -> None:
    assert search.split(text) == values


def test_escapes_are_undone() -> None:
    assert search.plain(r"a\,b\\c\|d") == r"a,b\c|d"
    assert search.token(r"s|a\|b") == ("s", "a|b")
    assert search.token(r"a\|b") == (None, "a|b")
    assert search.token("|a") == ("", "a")


def _contact(kind: dict[str, Any], *parts: dict[str, Any]) -> dict[str, Any]:
    told = [{"url": "type", **kind}, *parts]
    return {"system": "email", "value": "a@b.mssante.fr", "extension": [{"url": systems.MAILBOX, "extension": told}]}


@pytest.mark.parametrize(
    "kind",
    [
        {"valueCode": "ORG"},
        {"valueCoding": {"code": "ORG"}},
        {"valueCodeableConcept": {"coding": [{"system": systems.MAILBOX_KIND, "code": "ORG"}]}},
        {"valueCodeableConcept": {"coding": [{"system": systems.EMAIL_KIND, "code": "ORG"}]}},
    ],
)
def test_a_mailbox_is_read_in_every_shape(kind: dict[str, Any]) -> None:
    both = ({"url": "phone", "valueString": "01"}, {"url": "digitization", "valueBoolean": True})
    assert mailboxes.read(_contact(kind)) == Mailbox("a@b.mssante.fr", "ORG")
    assert mailboxes.read(_contact(kind, *both)) == Mailbox("a@b.mssante.fr", "ORG", digitization=True)


@pytest.mark.parametrize(
    "contact",
    [
        None, [], {}, {"value": 1}, {"value": "a@b", "system": "phone"}, {"value": "a@b", "rank": 0},
        {"value": "a@b", "rank": True}, _contact({"valueCode": "XXX"}),
        _contact({"valueCode": "PER"}, {"url": "listeRouge", "valueBoolean": "yes"}),
        _contact({"valueCode": "PER"}, {"url": "service", "valueString": 3}),
    ],
)  # fmt: skip
def test_what_is_no_mailbox_is_refused(contact: Any) -> None:
    with pytest.raises(MailboxError):
        mailboxes.read(contact)


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["operation", "type", "path", "value", "add", "x"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceType", "parameter", "part", "name", "valueString", "valueCode"]), inner
        )
    ),
    max_leaves=12,
)


@given(_JSON)
def test_any_patch_is_read_or_refused(parameter: Any) -> None:
    body = msgspec.json.encode({"resourceType": "Parameters", "parameter": [parameter]})
    for content in (body, msgspec.json.encode(parameter), body[:-3]):
        with pytest.raises((PatchError, MailboxError)):
            patch.read("Practitioner", content)
