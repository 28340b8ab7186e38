"""What operators write: the addresses of their own domains, and nothing else.

What it keeps true: an operator writes only addresses of domains its certificate is listed for; the address and the type
of a mailbox never change; each kind has its bearer and its facts. What is written is one change of the register, visible
at once wherever the register is read, with its report kept in the revision that made it.

Rules: every change of a batch is judged on what those before it made. `together`: one refused, and nothing is written.
Publishing what is published already takes the new facts; withdrawing what is not there changes nothing. What an operator
wrote is its word: imports do not undo it.

Spec directory §4 (model BoiteLettreMSS, table of facts by kind); MSSanté API, write errors.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa

from vaguemestre import clock
from vaguemestre.directory import register, snapshots, tables
from vaguemestre.directory.model import Kind, Origin
from vaguemestre.documents.fhir.mailboxes import KINDS, Mailbox
from vaguemestre.errors import VaguemestreError

_ADDRESS = re.compile(r"[^@\s]+@([^@\s]+\.mssante\.fr|interop-mssante\.apicrypt\.org)", re.ASCII | re.IGNORECASE)
_LONGEST = {"description": 500, "service": 200, "responsible": 200}
_BEARERS = {
    Kind.PERSON: ("Practitioner", "PractitionerRole"),
    Kind.PRACTICE: ("Practitioner", "PractitionerRole"),
    Kind.ORGANIZATION: ("Organization",),
    Kind.APPLICATION: ("Organization",),
}
_FACTS = {
    Kind.PERSON: {"red_list", "rank", "digitization"},
    Kind.PRACTICE: {"red_list", "rank", "digitization", "description"},
    Kind.ORGANIZATION: {"red_list", "rank", "digitization", "description", "service", "responsible"},
    Kind.APPLICATION: {"red_list", "rank", "digitization", "description", "service", "responsible"},
}
_UNSAID: dict[str, Any] = {
    "description": "", "service": "", "responsible": "", "rank": None, "digitization": None, "red_list": False,
}  # fmt: skip
_TABLES = {
    "Practitioner": tables.practitioners,
    "PractitionerRole": tables.activities,
    "Organization": tables.organizations,
}


class PublicationError(VaguemestreError):
    """A change that is refused; `rule` is a stable identifier."""

    def __init__(self, rule: str, en: str, fr: str) -> None:
        super().__init__(en, fr)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Operator:
    """Who writes: a name for the register, and the domains (in lower case) that its certificate is listed for."""

    name: str
    domains: Collection[str]


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whose mailbox: a resource of type Practitioner, PractitionerRole or Organization, by its number."""

    type: str
    id: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Put a mailbox, whole; `replaced` is the address it must have where it takes the place of one."""

    bearer: Bearer
    mailbox: Mailbox
    replaced: str = ""


@dataclass(frozen=True, slots=True)
class Amend:
    """Change facts of a mailbox; None for one that is no longer said."""

    bearer: Bearer
    address: str
    facts: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Withdraw:
    """Take a mailbox out."""

    bearer: Bearer
    address: str


Change = Publish | Amend | Withdraw


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a change: `done` is published, changed, unchanged, withdrawn, or refused by `rule`, and why."""

    address: str
    bearer: str
    done: str
    rule: str = ""
    en: str = ""
    fr: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a batch; `revision` is None where nothing was written."""

    operator: str
    at: int
    revision: int | None
    outcomes: tuple[Outcome, ...]

    @property
    def refused(self) -> list[Outcome]:
        """What was refused."""
        return [each for each in self.outcomes if each.done == "refused"]

    def json(self) -> dict[str, Any]:
        """The account report of the batch."""
        counts: dict[str, int] = {}
        for each in self.outcomes:
            counts[each.done] = counts.get(each.done, 0) + 1
        return {
            "operator": self.operator,
            "at": clock.from_ms(self.at).isoformat(timespec="milliseconds"),
            "revision": self.revision,
            "counts": counts,
            "changes": [{name: value for name, value in asdict(each).items() if value} for each in self.outcomes],
        }


@dataclass(slots=True)
class _Drafts:
    """The mailboxes of a bearer as the batch leaves them, by address in lower case; None under `id` until written."""

    practitioner_id: int | None
    organization_id: int | None
    active: bool
    rows: dict[str, dict[str, Any]]
    touched: set[str] = field(default_factory=set)


def apply(
    connection: sa.Connection, operator: Operator, changes: Sequence[Change], *, together: bool = False
) -> Report:
    """Write an operator's changes, within a write; returns what became of each. `together`: all or none."""
    at = clock.now_ms()
    bearers: dict[Bearer, _Drafts | None] = {}
    outcomes = []
    for change in changes:
        bearer = change.bearer
        if bearer not in bearers:
            bearers[bearer] = _drafts(connection, bearer)
        shown = f"{bearer.type}/{bearer.id}"
        address = change.mailbox.address if isinstance(change, Publish) else change.address
        try:
            outcomes.append(Outcome(address, shown, _judge(operator, change, bearers[bearer])))
        except PublicationError as error:
            outcomes.append(Outcome(address, shown, "refused", error.rule, error.en, error.fr))
    written = [drafts for drafts in bearers.values() if drafts is not None and drafts.touched]
    if not written or (together and any(each.done == "refused" for each in outcomes)):
        return Report(operator.name, at, None, tuple(outcomes))
    revision = register.begin(connection, Origin.OPERATOR)
    report = Report(operator.name, at, revision, tuple(outcomes))
    _write(connection, operator, written, revision, at)
    summary = msgspec.json.encode(report.json()).decode()
    connection.execute(tables.revisions.update().where(tables.revisions.c.id == revision).values(summary=summary))
    return report


def _judge(operator: Operator, change: Change, drafts: _Drafts | None) -> str:
    """What a change does to the drafts, which it changes. Raises PublicationError, and then leaves them as they were."""
    address = change.mailbox.address if isinstance(change, Publish) else change.address
    if isinstance(change, Publish) and change.replaced and change.replaced.lower() != address.lower():
        raise _immutable("address", "L'adresse")
    if _ADDRESS.fullmatch(address) is None or len(address) > 254:
        raise PublicationError(
            "address-malformed",
            f"{address[:100]} is not an MSSanté address.",
            f"{address[:100]} n'est pas une adresse MSSanté.",
        )
    domain = address.rpartition("@")[2].lower()
    if domain not in operator.domains:
        raise PublicationError(
            "domain-not-own",
            f"The certificate of {operator.name} is not listed for {domain}: only its operator writes its addresses.",
            f"Le certificat de {operator.name} n'est pas inscrit pour {domain} : seul son opérateur en écrit les adresses.",
        )
    if drafts is None or not drafts.active:
        raise PublicationError(
            "bearer-unknown",
            "This bearer is not in the register, or was withdrawn from it.",
            "Ce porteur n'est pas dans le registre, ou en a été retiré.",
        )
    row = drafts.rows.get(address.lower())
    match change:
        case Publish():
            return _publish(change, drafts, row)
        case Amend():
            return _amend(change, drafts, row)
        case Withdraw():
            return _withdraw(drafts, row)


def _publish(change: Publish, drafts: _Drafts, row: dict[str, Any] | None) -> str:
    mailbox = change.mailbox
    stands = row is not None and row["active"]
    if change.replaced and not stands:
        raise _absent(change.replaced)
    kind = mailbox.kind or (str(row["kind"]) if stands and row is not None else "")
    if stands and row is not None and kind != row["kind"]:
        raise _immutable("type", "Le type")
    if kind not in KINDS:
        raise PublicationError(
            "type-missing", "A mailbox has a type: PER, ORG, APP or CAB.", "Une boîte a un type : PER, ORG, APP ou CAB."
        )
    if change.bearer.type not in _BEARERS[Kind(kind)]:
        raise PublicationError(
            "bearer-unsuitable",
            f"A mailbox of type {kind} is borne by {' or '.join(_BEARERS[Kind(kind)])}, not by {change.bearer.type}.",
            f"Une boîte de type {kind} est portée par {' ou '.join(_BEARERS[Kind(kind)])}, pas par {change.bearer.type}.",
        )
    facts = {name: getattr(mailbox, name) for name in _UNSAID}
    _check(Kind(kind), facts)
    facts = {name: _UNSAID[name] if value is None else value for name, value in facts.items()}
    key = mailbox.address.lower()
    if row is not None and stands:
        if all(row[name] == value for name, value in facts.items()):
            return "unchanged"
        row |= facts
    else:
        new = {"id": None if row is None else row["id"], "address": mailbox.address, "address_key": key, "kind": kind}
        new |= {"domain": key.rpartition("@")[2], "active": True, "published_at": None} | facts
        drafts.rows[key] = (row or {}) | new
    drafts.touched.add(key)
    return "changed" if stands else "published"


def _amend(change: Amend, drafts: _Drafts, row: dict[str, Any] | None) -> str:
    if row is None or not row["active"]:
        raise _absent(change.address)
    facts = dict(change.facts)
    if facts.pop("address", row["address"]) != row["address"]:
        raise _immutable("address", "L'adresse")
    if facts.pop("kind", row["kind"]) != row["kind"]:
        raise _immutable("type", "Le type")
    _check(Kind(row["kind"]), facts)
    facts = {name: _UNSAID[name] if value is None else value for name, value in facts.items()}
    if all(row[name] == value for name, value in facts.items()):
        return "unchanged"
    row |= facts
    drafts.touched.add(row["address_key"])
    return "changed"


def _withdraw(drafts: _Drafts, row: dict[str, Any] | None) -> str:
    if row is None or not row["active"]:
        return "unchanged"
    row["active"] = False
    drafts.touched.add(row["address_key"])
    return "withdrawn"


def _check(kind: Kind, facts: dict[str, Any]) -> None:
    """Only facts that a mailbox of this kind has."""
    for name, value in facts.items():
        if value in (None, "") or (name not in _FACTS[kind] and value == _UNSAID.get(name)):
            continue
        if name not in _FACTS[kind]:
            raise PublicationError(
                "fact-not-allowed",
                f"A mailbox of type {kind} has no {name}.",
                f"Une boîte de type {kind} n'a pas d'élément {name}.",
            )
        if len(str(value)) > _LONGEST.get(name, 500) or any(ord(each) < 32 for each in str(value)):
            raise PublicationError(
                "fact-malformed",
                f"{name} is too long, or is more than a line.",
                f"L'élément {name} est trop long, ou tient sur plus d'une ligne.",
            )


def _drafts(connection: sa.Connection, bearer: Bearer) -> _Drafts | None:
    """The mailboxes of a bearer, those withdrawn too; None where there is no such bearer."""
    table, addresses = _TABLES[bearer.type], tables.addresses
    found = connection.execute(sa.select(table).where(table.c.id == bearer.id)).one_or_none()
    if found is None:
        return None
    if bearer.type == "PractitionerRole":
        person, place = found.practitioner_id, found.organization_id
        where = [addresses.c.practitioner_id == person, addresses.c.organization_id == place]
    elif bearer.type == "Practitioner":
        person, place = bearer.id, None
        there = tables.activities.alias()
        practised = sa.exists().where(
            there.c.practitioner_id == addresses.c.practitioner_id,
            there.c.organization_id == addresses.c.organization_id,
            there.c.active,
        )
        where = [
            addresses.c.practitioner_id == person,
            sa.or_(addresses.c.organization_id.is_(None), ~practised),
        ]
    else:
        person, place = None, bearer.id
        where = [addresses.c.organization_id == place, addresses.c.practitioner_id.is_(None)]
    rows = connection.execute(
        sa.select(addresses).where(*where).order_by(addresses.c.active, addresses.c.id)
    ).mappings()
    return _Drafts(person, place, bool(found.active), {row["address_key"]: dict(row) for row in rows})


def _write(connection: sa.Connection, operator: Operator, written: Iterable[_Drafts], revision: int, at: int) -> None:
    addresses = tables.addresses
    following = (connection.execute(sa.select(sa.func.max(addresses.c.id))).scalar() or 0) + 1
    for drafts in written:
        rows = [drafts.rows[key] for key in sorted(drafts.touched)]
        snapshots.keep(connection, revision, addresses.name, [row["id"] for row in rows if row["id"] is not None])
        for row in rows:
            values = row | {"revision": revision, "origin": Origin.OPERATOR.value, "operator": operator.name}
            if values["published_at"] is None:
                values["published_at"] = at
            if row["id"] is not None:
                connection.execute(addresses.update().where(addresses.c.id == row["id"]).values(values))
                continue
            values |= {
                "id": following,
                "practitioner_id": drafts.practitioner_id,
                "organization_id": drafts.organization_id,
            }
            connection.execute(addresses.insert().values(values))
            following += 1
        snapshots.stamp_bearers(connection, revision, [(drafts.practitioner_id, drafts.organization_id)])


def _absent(address: str) -> PublicationError:
    return PublicationError(
        "address-unknown",
        f"This bearer has no mailbox {address[:100]}.",
        f"Ce porteur n'a pas de boîte {address[:100]}.",
    )


def _immutable(en: str, fr: str) -> PublicationError:
    return PublicationError(
        f"{en}-immutable",
        f"The {en} of a mailbox does not change: withdraw it and publish another.",
        f"{fr} d'une boîte ne change pas : retirez-la et publiez-en une autre.",
    )
