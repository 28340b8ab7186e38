"""The register written over FHIR: an operator's PATCH of the mailboxes of its own domains.

What it keeps true: who writes is judged by its certificate, against the allow-list in force, as for mail; a patch is
written whole or not at all, in one change of the register; what was written or refused is journalled.

Rules: a bearer is named by its id, or by an identifier, which is checked by its key: 404 where it is nobody's, 412 where
it is several's. The answer shows the resource as written, the operator's own mailboxes whole.

R4 patch, conditional patch; spec directory §4.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from starlette.requests import Request
from starlette.responses import Response

from vaguemestre.directory import identifiers, publication
from vaguemestre.directory.identifiers import Flaw
from vaguemestre.directory.publication import Amend, Bearer, Change, Operator, Publish, Report, Withdraw
from vaguemestre.documents.fhir import bundles, patch, resources, search, systems
from vaguemestre.documents.fhir.patch import Operation, Verb
from vaguemestre.documents.fhir.resources import Shape
from vaguemestre.documents.fhir.search import Clause, Condition, token
from vaguemestre.documents.fhir.systems import Json, canonical
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.servers.fhir import (
    AnswerError,
    Handler,
    Reading,
    body,
    client_chain,
    kind_of,
    not_known,
    parameters,
    resource_answer,
)
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.judge import Judge

Record = Callable[[str, Entry], None]
_TYPES = ("application/fhir+json", "application/json")
# Refusals that say who the operator is not, rather than what it may not do.
_UNPROVEN = {
    "no-certificate", "certificate-unreadable", "unknown-authority", "certificate-unsuitable", "certificate-expired",
    "certificate-not-yet-valid", "certificate-revoked",
}  # fmt: skip
_STATUS = {"domain-not-own": 403, "bearer-unknown": 404}
_CODES = {403: "forbidden", 404: "not-found", 400: "invalid"}
_CHECKS: dict[str, Callable[[str], Flaw | None]] = {
    systems.RPPS: identifiers.rpps,
    systems.IDNPS: identifiers.national_person,
    systems.FINESS: identifiers.finess,
    systems.IDNST: identifiers.national_structure,
    systems.RPPS_RANK: identifiers.technical_structure,
}


class _RefusedError(AnswerError):
    """A patch of which something is refused: nothing was written."""

    def __init__(self, report: Report) -> None:
        first = report.refused[0]
        status = _STATUS.get(first.rule, 400)
        super().__init__(status, _CODES[status], first.en, first.fr)
        self.report = report


class Writing:
    """The write face."""

    def __init__(self, reading: Reading, judge: Judge, record: Record) -> None:
        """`record(cause, entry)` appends to the journal, soon."""
        self._reading = reading
        self._judge = judge
        self._record = record

    def handlers(self) -> dict[str, Handler]:
        """What answers PATCH, by path."""
        return {"/{kind}": self.patch, "/{kind}/{id}": self.patch}

    async def patch(self, request: Request) -> Response:
        """PATCH /Type/id, PATCH /Type?identifier=system|value."""
        kind = kind_of(request)
        if kind not in bundles.WRITABLE:
            raise AnswerError(405, "not-supported", f"{kind} is not written here.", f"{kind} ne s'écrit pas ici.")
        operator = await self._operator(request)
        media = request.headers.get("content-type", "").split(";", maxsplit=1)[0].strip().lower()
        if media not in _TYPES:
            raise AnswerError(415, "not-supported", "A patch is of type application/fhir+json.",
                              "Une mise à jour est de type application/fhir+json.")  # fmt: skip
        conditions = _conditions(kind, request)
        identifier = request.path_params.get("id", "")
        operations = patch.read(kind, await body(request))
        expected = request.headers.get("if-match", "")
        shape = Shape(self._reading.terms.digitization, frozenset(operator.domains))
        reader = self._reading.reader

        def write(connection: sa.Connection) -> tuple[Report, Json]:
            number = resources.number_of(kind, identifier)
            if conditions:
                number = _one(kind, reader.ids(connection, kind, conditions, 2))
            found = number is not None and reader.read(connection, kind, resources.technical_id(kind, number))
            if number is None or not found:
                raise not_known(kind, identifier)
            if expected and expected not in ("*", f'W/"{found["meta"]["versionId"]}"'):
                raise AnswerError(412, "conflict", "The resource has changed since (If-Match).",
                                  "La ressource a changé depuis (If-Match).")  # fmt: skip
            changes = _changes(Bearer(kind, number), operations)
            report = publication.apply(connection, operator, changes, together=True)
            if report.refused:
                raise _RefusedError(report)
            written = reader.read(connection, kind, resources.technical_id(kind, number), shape)
            assert written is not None  # noqa: S101 - it was there a moment ago, in this transaction
            return report, written

        try:
            report, written = await self._reading.registers.current().write_async(write)
        except _RefusedError as refused:
            self._journal(Event.PUBLICATION_REFUSAL, refused.report)
            raise
        if report.revision is not None:
            self._journal(Event.PUBLICATION, report)
        return resource_answer(written)

    async def _operator(self, request: Request) -> Operator:
        """Who writes, by its certificate. Raises AnswerError: 401, 403, or 503 where it cannot be known now."""
        chain = client_chain(request)
        decided = self._judge.decide(chain, None)
        if self._judge.may_learn(decided, chain):
            decided = await self._judge.learn(chain, None)
        if not decided.allowed:
            raise _not_admitted(decided)
        return Operator(decided.evidence.subject, self._judge.domains(chain))

    def _journal(self, event: Event, report: Report) -> None:
        refused = event is Event.PUBLICATION_REFUSAL
        for each in report.refused if refused else report.outcomes:
            facts: dict[str, Any] = {"operator": report.operator, "bearer": each.bearer, "done": each.done}
            facts |= {"rule": each.rule} if refused else {"revision": report.revision}
            entry = Entry(event, "", facts, {"address": each.address})
            self._record(
                f"{event} {report.operator}" if refused else f"{event} {report.revision} {each.address}", entry
            )


def _not_admitted(decided: Admission) -> AnswerError:
    if decided.temporary:
        return AnswerError(503, "transient", decided.en, decided.fr, {"Retry-After": "60"})
    status, code = (401, "security") if decided.rule in _UNPROVEN else (403, "forbidden")
    return AnswerError(status, code, decided.en, decided.fr)


def _conditions(kind: str, request: Request) -> tuple[Condition, ...]:
    """What a conditional patch looks for: identifiers, with their systems, that hold their keys."""
    asked = search.read(kind, parameters(request)).conditions
    if not asked and "id" not in request.path_params:
        raise AnswerError(400, "required", "A conditional patch needs ?identifier=system|value.",
                          "Une mise à jour conditionnelle demande ?identifier=système|valeur.")  # fmt: skip
    for condition in asked:
        if not isinstance(condition, Clause) or condition.parameter.name != "identifier" or condition.modifier:
            raise AnswerError(400, "invalid", "A bearer is looked for by its identifier alone.",
                              "Un porteur se cherche par son seul identifiant.")  # fmt: skip
        for value in condition.values:
            _check_identifier(*token(value))
    return asked


def _check_identifier(system: str | None, value: str) -> None:
    known = canonical(system or "")
    if not known or not value:
        raise AnswerError(400, "invalid", "An identifier is written system|value.",
                          "Un identifiant s'écrit système|valeur.")  # fmt: skip
    check = _CHECKS.get(known)
    if known == systems.SIRENE:
        check = identifiers.siren if len(value) == 9 else identifiers.siret
    if known == systems.RPPS and len(value) == 10:
        check = None  # the number of an activity, which has no key
    if check is not None and (flaw := check(value)) is not None:
        raise AnswerError(400, "invalid", flaw.en, flaw.fr)


def _one(kind: str, found: Sequence[int]) -> int:
    if len(found) > 1:
        raise AnswerError(412, "conflict", f"Several resources {kind} have this identifier.",
                          f"Plusieurs ressources {kind} ont cet identifiant.")  # fmt: skip
    if not found:
        raise AnswerError(404, "not-found", f"No resource {kind} has this identifier.",
                          f"Aucune ressource {kind} n'a cet identifiant.")  # fmt: skip
    return found[0]


def _changes(bearer: Bearer, operations: Sequence[Operation]) -> list[Change]:
    changes: list[Change] = []
    for each in operations:
        if each.verb is Verb.REMOVE:
            changes.append(Withdraw(bearer, each.address))
        elif each.mailbox is not None:
            changes.append(Publish(bearer, each.mailbox, each.replaced))
        else:
            changes.append(Amend(bearer, each.address, {each.name: each.value}))
    return changes
