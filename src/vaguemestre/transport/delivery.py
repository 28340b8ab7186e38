"""Delivery: takes what is due from the queue to the servers of its domain, and concludes each recipient's fate.

What it keeps true: a row leaves the queue only in the transaction that journals why, and tells the sender if it must;
after a crash it is tried again. A destination never gets more connections than its share, nor one slow destination the
others' places. Rows being tried are known here alone.

Flow: `run` → rows due, by domain → `_attempt` → `relay` → `_conclude` (one transaction).
Standards: RFC 5321 §4.5.4.1 (retry), §4.5.5 (null reverse-path), RFC 3461 §5.2; spec trust-space §1 (who may receive).
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import sqlalchemy as sa
from OpenSSL import SSL

from vaguemestre import clock, ids, log
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.protocols.smtp.addresses import Address, AddressError
from vaguemestre.protocols.smtp.client_events import (
    ConnectionCut,
    ContentTooLarge,
    FeatureNotOffered,
    Outcome,
    TlsNotOffered,
    Transaction,
    UnsafeParameter,
)
from vaguemestre.protocols.smtp.commands import encode_xtext
from vaguemestre.protocols.smtp.content_out import BareLineEnding
from vaguemestre.protocols.tls import TlsError
from vaguemestre.storage.blobs import BlobReader, BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.transport import queue
from vaguemestre.transport.bounces import Notifier
from vaguemestre.transport.queue import Queued
from vaguemestre.transport.relay import Line, PeerRefusedError, Relayed, TurnedAwayFailure, UnreachableFailure
from vaguemestre.transport.retry import RetryPolicy
from vaguemestre.transport.routing import Host, Router, RoutingFailure, UnroutableError
from vaguemestre.trust.judge import Judge

_POLL_S = 1.0  # another process, such as `vaguemestre send`, may queue without waking us
_IDLE_S = 30.0
_PAGE = 500
_CLOSING = 421
_log = log.get("transport.delivery")


@dataclass(frozen=True, slots=True)
class Fate:
    """What an attempt decided for a recipient. `status` is an enhanced code (RFC 3463), `diagnostic` the peer's words;
    `en` and `fr` say why where the status does not say it all."""

    event: Event
    status: str
    en: str
    fr: str
    diagnostic: str = ""
    facts: dict[str, str] = field(default_factory=dict)
    tell_now: bool = False
    dsn_passed_on: bool = False


@dataclass(frozen=True, slots=True)
class Concurrency:
    """Connections at once, in all and to one domain."""

    total: int = 50
    per_domain: int = 5


class Delivery:
    """The runner of one operator's queue."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        router: Router,
        judge: Judge,
        tls: SSL.Context,
        notifier: Notifier,
        record: Callable[[str, Entry], None],
        hostname: str,
        policy: RetryPolicy,
        concurrency: Concurrency,
    ) -> None:
        self._database = database
        self._blobs = store
        self._router = router
        self._judge = judge
        self._tls = tls
        self._notifier = notifier
        self._record = record
        self._hostname = hostname
        self._policy = policy
        self._concurrency = concurrency
        self._trying: dict[int, asyncio.Task[None]] = {}
        self._by_domain: defaultdict[str, int] = defaultdict(int)
        self._idle: defaultdict[Host, list[tuple[float, Line]]] = defaultdict(list)
        self._leaving: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._stopping = False

    def wake(self) -> None:
        """Something was queued."""
        self._wake.set()

    async def run(self) -> None:
        """Deliver until `stop`."""
        while not self._stopping:
            self._wake.clear()
            try:
                await self._start_due()
            except StorageFailure as error:
                _log.error("the queue cannot be read", error=error.en)
            except Exception as error:  # a defect must not stop the queue for good
                _log.error("the queue failed", error=type(error).__name__, exc_info=True)
            self._drop_idle()
            try:
                await asyncio.wait_for(self._wake.wait(), _POLL_S)
            except TimeoutError:
                continue

    async def stop(self, grace: float = 10.0) -> None:
        """Start nothing more, let what is under way end within the grace, then cut; what is cut is tried again later."""
        self._stopping = True
        self._wake.set()
        tasks = list(self._trying.values())
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lines in self._idle.values():
            for _, line in lines:
                line.abort()
        self._idle.clear()
        for leaving in self._leaving:
            leaving.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _start_due(self) -> None:
        free = self._concurrency.total - len(self._trying)
        if free <= 0:
            return
        full = [domain for domain, count in self._by_domain.items() if count >= self._concurrency.per_domain]
        rows = await self._database.read_async(queue.due, clock.now_ms(), list(self._trying), full, _PAGE)
        for row in rows:
            if len(self._trying) >= self._concurrency.total:
                return
            if self._by_domain[row.domain] >= self._concurrency.per_domain:
                continue
            self._by_domain[row.domain] += 1
            task = asyncio.create_task(self._deliver(row))
            self._trying[row.id] = task
            task.add_done_callback(lambda done, row=row: self._done(done, row))  # type: ignore[misc]

    def _done(self, task: "asyncio.Task[None]", row: Queued) -> None:
        del self._trying[row.id]
        self._by_domain[row.domain] -= 1
        if not self._by_domain[row.domain]:
            del self._by_domain[row.domain]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("delivery failed", error=type(error).__name__, exc_info=error)
        self._wake.set()

    async def _deliver(self, row: Queued) -> None:
        fate = await self._attempt(row)
        while True:
            try:
                await self._database.write_async(self._conclude, row, fate)
                return
            except StorageFailure as error:
                # The peer may hold the message by now: insist, for trying again would send it twice.
                _log.error("a delivery cannot be concluded", error=error.en, message=ids.to_text(row.blob_id))
                if self._stopping:
                    return
                await asyncio.sleep(_POLL_S)

    async def _attempt(self, row: Queued) -> Fate:
        try:
            listed = self._judge.domain_listed(row.domain)
            if not listed.allowed:
                event = Event.DEFERRAL if listed.temporary else Event.BOUNCE
                status = "4.7.1" if listed.temporary else "5.7.1"
                return Fate(event, status, listed.en, listed.fr, facts={"rule": listed.rule})
            content = await self._database.read_async(self._blobs.open, row.blob_id)
            return _fate(await self._relay(row, content))
        except _FINAL as error:
            return Fate(Event.BOUNCE, _PERMANENT[type(error)], error.en, error.fr)
        except PeerRefusedError as error:
            rule = error.decided.rule
            self._journal_refusal(row, rule, error.decided.evidence.facts())
            return Fate(Event.DEFERRAL, "4.7.5", error.en, error.fr, facts={"rule": rule}, tell_now=True)
        except TlsNotOffered as error:
            self._journal_refusal(row, "no-tls", {"domain": row.domain})
            return Fate(Event.DEFERRAL, "4.7.4", error.en, error.fr, facts={"rule": "no-tls"}, tell_now=True)
        except TurnedAwayFailure as error:
            diagnostic = f"{error.reply.code} {error.reply.text}"
            return Fate(Event.DEFERRAL, "4.3.2", error.en, error.fr, diagnostic)
        except VaguemestreError as error:
            return Fate(Event.DEFERRAL, _TEMPORARY.get(type(error), "4.4.2"), error.en, error.fr)
        except Exception as error:  # a defect: tried again with growing pauses, and told, like any other failure
            _log.error("an attempt failed", error=type(error).__name__, exc_info=True)
            return Fate(Event.DEFERRAL, "4.3.0", "Trouble on our side.", "Incident de notre côté.")

    async def _relay(self, row: Queued, content: BlobReader) -> Relayed:
        """Try each server of the domain; the last failure is the one raised."""
        transaction = _transaction(row)
        failure: VaguemestreError | None = None
        for host in await self._router.hosts(row.domain):
            try:
                return await self._relay_to(host, transaction, content)
            except (FeatureNotOffered, ContentTooLarge, UnsafeParameter, BareLineEnding, StorageFailure):
                raise
            except VaguemestreError as error:
                failure = error
        raise failure or RoutingFailure(f"{row.domain} has no server.", f"{row.domain} n'a pas de serveur.")

    async def _relay_to(self, host: Host, transaction: Transaction, content: BlobReader) -> Relayed:
        line = self._take_idle(host)
        reused = line is not None
        if line is None:
            line = await Line.open(host, self._hostname, self._tls)
        try:
            relayed = await line.relay(self._judge, transaction, content.chunks())
        except PeerRefusedError:
            await line.close()
            raise
        except (UnreachableFailure, TurnedAwayFailure, ConnectionCut, TlsError):
            line.abort()
            if not reused or line.content_left:
                raise
            return await self._relay_to(host, transaction, content)  # it had closed the line while idle
        except BaseException:
            line.abort()
            raise
        if reused and not line.content_left and relayed.outcome.reply.code == _CLOSING:
            line.abort()
            return await self._relay_to(host, transaction, content)  # it was about to
        if line.usable and not self._stopping:
            self._idle[host].append((time.monotonic(), line))
        else:
            line.abort()
        return relayed

    def _take_idle(self, host: Host) -> Line | None:
        lines = self._idle[host]
        while lines:
            _, line = lines.pop()
            if line.usable:
                return line
            line.abort()
        return None

    def _drop_idle(self) -> None:
        old = time.monotonic() - _IDLE_S
        for host, lines in list(self._idle.items()):
            kept = [(since, line) for since, line in lines if since > old]
            dropped = [line for since, line in lines if since <= old]
            self._idle[host] = kept
            if not kept:
                del self._idle[host]
            for line in dropped:
                leaving = asyncio.create_task(line.close())  # a peer slow to say good-bye holds up nobody
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    def _journal_refusal(self, row: Queued, rule: str, evidence: dict[str, str]) -> None:
        facts = {"rule": rule, **evidence, "direction": "out"}
        self._record(f"{row.domain} {rule}", Entry(Event.PEER_REFUSAL, ids.to_text(row.blob_id), facts))

    def _conclude(self, connection: sa.Connection, row: Queued, fate: Fate) -> None:
        """Write an attempt's outcome. The row may be gone (cancelled by hand): then only a relay is journalled."""
        now = clock.now_ms()
        if fate.event is Event.DEFERRAL and now >= row.expires_at:
            fate = _expired(fate)
        subject = ids.to_text(row.blob_id)
        facts = {"domain": row.domain, "status": fate.status, "attempt": str(row.attempts + 1), **fate.facts}
        personal = {"to": row.recipient.address, "reply": fate.diagnostic[:300], "why": fate.en[:300]}
        journal.append(connection, [Entry(fate.event, subject, facts, personal)])
        if fate.event is Event.DEFERRAL:
            late = fate.tell_now or now - row.created_at >= self._policy.warn_after * 1000
            # Cancelled meanwhile, it has no content left to tell about.
            tell = late and not row.delay_told and queue.get(connection, row.id) is not None
            if tell:
                self._notifier.delayed(connection, row, fate.status, fate.diagnostic, fate.fr, fate.en)
            due = min(self._policy.next_due(row.attempts + 1, now), row.expires_at)
            queue.postpone(connection, row.id, due, fate.diagnostic or fate.en, told=tell)
            return
        if queue.settle(connection, row.id):
            if fate.event is Event.BOUNCE:
                self._notifier.failed(connection, row, fate.status, fate.diagnostic, fate.fr, fate.en)
            elif not fate.dsn_passed_on:
                self._notifier.relayed(connection, row, fate.diagnostic)
        queue.release(connection, self._blobs, row.blob_id)


_PERMANENT: dict[type[VaguemestreError], str] = {
    UnroutableError: "5.1.2",
    FeatureNotOffered: "5.6.7",
    ContentTooLarge: "5.3.4",
    UnsafeParameter: "5.5.4",
    AddressError: "5.1.3",
    BareLineEnding: "5.6.0",
}
_FINAL: tuple[type[VaguemestreError], ...] = tuple(_PERMANENT)
_TEMPORARY: dict[type[VaguemestreError], str] = {
    UnreachableFailure: "4.4.1",
    RoutingFailure: "4.4.3",
}


def _transaction(row: Queued) -> Transaction:
    envelope, recipient = row.envelope, row.recipient
    return Transaction(
        Address.parse(envelope.reverse_path) if envelope.reverse_path else None,
        Address.parse(recipient.address),
        row.size,
        eight_bit=envelope.eight_bit,
        utf8_headers=envelope.utf8,
        notify=tuple(sorted(recipient.notify)),
        orcpt=encode_xtext(recipient.original) if recipient.original else None,
        ret=envelope.returned or None,
        envid=encode_xtext(envelope.envelope_id) if envelope.envelope_id else None,
    )


def _fate(relayed: Relayed) -> Fate:
    outcome: Outcome = relayed.outcome
    facts = {
        "peer": relayed.peer,
        "certificate": relayed.certificate,
        "list": relayed.list_generated,
        "tls": relayed.tls,
        "reply": f"{outcome.reply.code} {outcome.reply.enhanced}".strip(),
    }
    if outcome.accepted:
        en, fr = "The recipient's operator accepted the message.", "L'opérateur du destinataire a accepté le message."
        return Fate(Event.RELAY, "2.0.0", en, fr, outcome.diagnostic, facts, dsn_passed_on=relayed.dsn)
    event = Event.BOUNCE if outcome.reply.permanent else Event.DEFERRAL
    status = outcome.reply.enhanced or ("5.0.0" if outcome.reply.permanent else "4.0.0")
    # The notification says in its own words what the status means, and quotes the answer.
    return Fate(event, status, "", "", outcome.diagnostic, facts)


def _expired(fate: Fate) -> Fate:
    if not fate.en:
        return replace(fate, event=Event.BOUNCE, status="5.4.7")
    en = f"All attempts failed and no more will be made. The last one: {fate.en}"
    fr = f"Tous les essais ont échoué, il n'y en aura pas d'autre. Le dernier : {fate.fr}"
    return Fate(Event.BOUNCE, "5.4.7", en, fr, fate.diagnostic, fate.facts)
