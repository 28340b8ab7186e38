"""Publication: telling the certified directory of the accounts that are opened, changed and closed here.

What it keeps true: what `mailstore.publications` has on its list is told, once, whatever fails meanwhile, and each
telling's fate is kept, with the directory's own reasons; a failure of the directory is tried again with growing pauses,
its refusal once a day or when the account changes. Each night what the directory shows of our domains is compared with
our accounts: what is missing or different is told again, what should not be there is withdrawn, unless there is so much
of it that somebody must look.

A crash between the directory's yes and our note of it: the telling is tried again, and first asks what the directory
has. So an address is never shown twice.

Flow: list → `standing` (what is wanted, what was told) → the difference → PATCH → note, result, journal in one transaction.
Spec directory §4; design decision 9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from vaguemestre import ids, log
from vaguemestre.clock import now_ms
from vaguemestre.enrolment.directory_client import (
    TYPES,
    DirectoryClient,
    DirectoryFailure,
    DirectoryRefusal,
    Place,
    Shown,
    place_of,
)
from vaguemestre.mailstore import publications
from vaguemestre.mailstore.publications import Facts, Operation, Outcome, Owed, Result, Standing, Told
from vaguemestre.storage.database import Database

_PAUSES_S = (60, 120, 300, 600, 1800, 3600)
_LEASE_MS = 300_000  # longer than a telling takes; what was claimed by a process that died is due again after it
_DAY_MS = 86_400_000
_AT_ONCE = 100
_FEW = 20  # of what is withdrawn at night, so many need no second look
_log = log.get("enrolment.publication")


@dataclass(slots=True)
class Report:
    """How a batch went: its number, and each telling."""

    batch: int = field(default_factory=ids.next_id)
    results: list[Result] = field(default_factory=list)

    def count(self, outcome: Outcome) -> int:
        """How many ended so."""
        return sum(each.outcome is outcome for each in self.results)


@dataclass(slots=True)
class Comparison:
    """What a reconciliation found: addresses to be told again, to be withdrawn, and how many agree.

    `unseen` are on the red list, and not shown to us; `held` are too many to be withdrawn without somebody's word.
    """

    report: Report
    missing: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    unseen: int = 0
    agreeing: int = 0


class Publisher:
    """Tells one directory, from an event loop. `pause_scale` shortens pauses, for tests and the demo."""

    def __init__(
        self,
        database: Database,
        directory: DirectoryClient,
        domains: Sequence[str],
        *,
        withdrawal_limit: float = 0.05,
        pause_scale: float = 1.0,
    ) -> None:
        self._database = database
        self._directory = directory
        self._domains = domains
        self._withdrawal_limit = withdrawal_limit
        self._pause_scale = pause_scale

    async def publish(self) -> Report:
        """Tell all that is due now. Raises StorageFailure."""
        report = Report()
        while True:
            owed = await self._database.read_async(publications.due, now_ms(), _AT_ONCE)
            for each in owed:
                if not await self._tell(each, report):
                    return report
            if len(owed) < _AT_ONCE:
                return report

    async def _tell(self, owed: Owed, report: Report) -> bool:
        """Tell of one account; false where the directory fails, and others would fare no better."""
        at = now_ms()
        if not await self._database.write_async(publications.claim, owed, at, at + _LEASE_MS):
            return True
        standing = await self._database.read_async(publications.standing, owed.account_id)
        operation = _operation(standing)
        try:
            if owed.attempts:  # the last one may have been heard: its end is not known
                standing = await self._as_shown(standing)
                operation = _operation(standing) if operation is Operation.NONE else operation
            await self._differences(standing)
        except DirectoryRefusal as refusal:
            until = at + int((_DAY_MS if not refusal.of_all else 3_600_000) * self._pause_scale)
            result = _result(report, standing, operation, Outcome.REFUSED, refusal.rule, refusal.en, refusal.fr)
            await self._database.write_async(_refused, owed, until, result)
            report.results.append(result)
            return not refusal.of_all
        except DirectoryFailure as failure:
            pause = failure.pause or _PAUSES_S[min(owed.attempts, len(_PAUSES_S) - 1)]
            until = at + int(pause * 1000 * self._pause_scale)
            result = _result(report, standing, operation, Outcome.PUT_OFF, "unreachable", failure.en, failure.fr)
            await self._database.write_async(_put_off, owed, until, result)
            report.results.append(result)
            _log.error("publication put off", reason=failure.en)
            return False
        if standing.bearerless:
            result = _result(report, standing, Operation.CREATE, Outcome.REFUSED, "no-bearer", *_no_bearer())
            await self._database.write_async(_bearerless, owed, at + _DAY_MS, result)
            report.results.append(result)
            return True
        result = _result(report, standing, operation, Outcome.ACCEPTED)
        await self._database.write_async(_settled, owed, standing, None if operation is Operation.NONE else result)
        if operation is not Operation.NONE:
            report.results.append(result)
        return True

    async def _differences(self, standing: Standing) -> None:
        """Withdraw what is shown and not wanted, then show or change what is wanted."""
        wanted = standing.wanted
        for told in standing.told:
            if wanted is None or not _same_place(told, wanted):
                await self._withdraw(place_of(told.bearer), told.address)
        if wanted is None:
            return
        place = place_of(wanted.bearer)
        before = next((told for told in standing.told if _same_place(told, wanted)), None)
        if before is None:
            await self._directory.create(place, wanted)
        else:
            await self._directory.change(place, wanted.address, before.facts, wanted.facts)

    async def _withdraw(self, place: Place, address: str) -> None:
        try:
            await self._directory.withdraw(place, address)
        except DirectoryRefusal as refusal:
            if refusal.rule != "unknown-bearer":  # its bearer is gone, and the address with it
                raise

    async def _as_shown(self, standing: Standing) -> Standing:
        """The standing with what the directory has now of the bearers concerned, in place of what was noted.

        Who publishes is shown its own addresses, those on the red list too.
        """
        bearers = {told.bearer for told in standing.told}
        if standing.wanted is not None:
            bearers.add(standing.wanted.bearer)
        told: list[Told] = []
        ours = {each.address.lower() for each in standing.told} | {standing.address.lower()}
        for bearer in bearers:
            for shown in await self._directory.find(place_of(bearer)):
                if shown.told.address.lower() in ours:
                    told.append(Told(shown.told.address, shown.told.kind, bearer, shown.told.facts))
        return Standing(standing.account_id, standing.address, standing.wanted, tuple(told), standing.bearerless)

    # --- reconciliation

    async def reconcile(self) -> Comparison:
        """Compare what the directory shows of our domains with our accounts, and repair.

        Raises DirectoryFailure, DirectoryRefusal where the directory cannot be read whole: nothing is concluded then.
        """
        found: dict[str, list[Shown]] = {}
        for domain in self._domains:
            for type_ in TYPES:
                async for each in self._directory.of_domain(type_, domain):
                    found.setdefault(each.told.address.lower(), []).append(each)
        comparison = Comparison(Report())
        strangers = await self._compare_accounts(found, comparison)
        known = await self._database.read_async(publications.addresses)
        strangers += [each for address, shown in found.items() if address not in known for each in shown]
        await self._withdraw_strangers(strangers, len(found), comparison)
        comparison.report.results += (await self.publish()).results
        return comparison

    async def _compare_accounts(self, found: dict[str, list[Shown]], comparison: Comparison) -> list[Shown]:
        """Have what is missing or different told again; gives what is shown under who is not its bearer."""
        after, strangers = 0, []
        while True:
            standings = await self._database.read_async(publications.standings, after, _AT_ONCE)
            for standing in standings:
                after = standing.account_id
                shown, others = _by_bearer(standing, found.get(standing.address.lower(), []))
                strangers += others
                difference = _difference(standing, shown, comparison)
                if difference is not None:
                    difference.append(standing.address)
                    await self._database.write_async(publications.owe, [standing.account_id], True)
            if len(standings) < _AT_ONCE:
                return strangers

    async def _withdraw_strangers(self, strangers: Sequence[Shown], shown: int, comparison: Comparison) -> None:
        """Withdraw addresses of our domains that no account here has, or that are shown under somebody else."""
        names = sorted({each.told.address for each in strangers})
        if len(names) > max(_FEW, self._withdrawal_limit * shown):
            comparison.held = names
            _log.error("publication: too many addresses to withdraw without a word", addresses=len(names))
            return
        comparison.unknown = names
        for each in strangers:
            standing = Standing(0, each.told.address, None, ())
            try:
                await self._withdraw(each.place, each.told.address)
            except DirectoryRefusal as refusal:
                result = _result(
                    comparison.report,
                    standing,
                    Operation.WITHDRAW,
                    Outcome.REFUSED,
                    refusal.rule,
                    refusal.en,
                    refusal.fr,
                )
            else:
                result = _result(comparison.report, standing, Operation.WITHDRAW, Outcome.ACCEPTED)
            await self._database.write_async(publications.keep, result)
            comparison.report.results.append(result)


def _difference(standing: Standing, shown: Sequence[Shown], comparison: Comparison) -> list[str] | None:
    """Which list of the comparison an account belongs to; None where the directory is right, or shows us too little."""
    wanted = standing.wanted
    if wanted is None:
        comparison.agreeing += 1
        return None
    if not shown:
        if wanted.facts.red_list and standing.told:
            comparison.unseen += 1
            return None
        return comparison.missing
    if _public(shown[0].told.facts) == _public(wanted.facts) and not _exposed(shown[0], wanted):
        comparison.agreeing += 1
        return None
    return comparison.different


def _by_bearer(standing: Standing, shown: Sequence[Shown]) -> tuple[list[Shown], list[Shown]]:
    """What is shown under the bearer that is wanted, and what is not to be: of a closed account, or under another bearer.

    What another type of resource shows (a person at a place, PractitionerRole) comes from elsewhere, and is left alone.
    """
    wanted = standing.wanted
    if wanted is None:
        return [], [] if standing.bearerless else list(shown)
    place = place_of(wanted.bearer)
    alike = [each for each in shown if each.place.type == place.type]
    right = [each for each in alike if place.identifier in each.identifiers]
    return right, [each for each in alike if each not in right]


def _public(facts: Facts) -> tuple[str, str]:
    return facts.service, facts.description


def _exposed(shown: Shown, wanted: Told) -> bool:
    """Whether the directory does not know that the address is on the red list."""
    return wanted.facts.red_list and not shown.told.facts.red_list


def _same_place(told: Told, wanted: Told) -> bool:
    return told.address.lower() == wanted.address.lower() and told.bearer == wanted.bearer


def _operation(standing: Standing) -> Operation:
    """What a telling amounts to."""
    wanted = standing.wanted
    if wanted is None:
        return Operation.WITHDRAW if standing.told else Operation.NONE
    if wanted in standing.told:
        return Operation.NONE
    return Operation.CHANGE if standing.told else Operation.CREATE


def _result(
    report: Report,
    standing: Standing,
    operation: Operation,
    outcome: Outcome,
    rule: str = "",
    en: str = "",
    fr: str = "",
) -> Result:
    return Result(report.batch, standing.account_id, standing.address, operation, outcome, rule, en, fr, now_ms())


def _no_bearer() -> tuple[str, str]:
    return (
        "Nobody is known to bear this address. Bind its holder (account holder) or say its structure (account listing).",
        "On ne sait pas qui porte cette adresse. Indiquez son titulaire (account holder) ou sa structure "
        "(account listing).",
    )


# --- transactions


def _settled(connection: sa.Connection, owed: Owed, standing: Standing, result: Result | None) -> None:
    publications.hidden(connection, standing.account_id)
    if standing.wanted is not None:
        publications.shown(connection, standing.account_id, standing.wanted)
    publications.settle(connection, owed)
    if result is not None:
        publications.keep(connection, result)


def _refused(connection: sa.Connection, owed: Owed, until: int, result: Result) -> None:
    publications.put_off(connection, owed, until, result.rule)
    publications.keep(connection, result)


def _bearerless(connection: sa.Connection, owed: Owed, until: int, result: Result) -> None:
    """What was shown under a former bearer is withdrawn; nothing else can be told."""
    publications.hidden(connection, owed.account_id)
    _refused(connection, owed, until, result)


def _put_off(connection: sa.Connection, owed: Owed, until: int, result: Result) -> None:
    publications.put_off(connection, owed, until)
    publications.keep(connection, result)
