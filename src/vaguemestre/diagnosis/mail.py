"""What is kept: the database, the journal, the accounts, what waits."""

from collections.abc import Iterator
from datetime import timedelta

from vaguemestre import clock
from vaguemestre.diagnosis.findings import Case, Finding, Words, clock_behind, good, problem, warning
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts
from vaguemestre.storage import schema
from vaguemestre.transport import queue

_CLOCK_TOLERANCE = timedelta(minutes=5)
_LISTED = 1000
_SPOOL_LEFT = timedelta(hours=1)


def database(case: Case) -> Iterator[Finding]:
    """It opens with its key, at this software's version; the head of the journal."""
    if case.stores is None:
        return
    version = schema.latest()
    yield good("database", Words(f"Base de données ouverte, version {version}", f"Database open, version {version}"))
    (head,) = case.stores.database.read(lambda connection: journal.log(connection, newest=True, limit=1)) or (None,)
    if head is None:
        yield good("journal", Words("Journal vide", "Empty journal"))
        return
    at = clock.from_ms(head.at)
    yield good(
        "journal",
        Words(f"Journal : {head.seq} entrées, tête {head.hash}", f"Journal: {head.seq} entries, head {head.hash}"),
    )
    if at > case.now + _CLOCK_TOLERANCE:
        yield clock_behind(
            case.now, Words("l'entrée la plus récente du journal", "the newest entry of the journal"), at
        )


def people(case: Case) -> Iterator[Finding]:
    """Accounts, and the one that every domain must have."""
    if case.stores is None:
        return
    count = len(case.stores.database.read(accounts.listing))
    yield good("accounts", Words(f"{count} comptes", f"{count} accounts"))
    for domain in case.config.domains:
        if case.stores.database.read(accounts.destination, f"postmaster@{domain}") is None:
            command = f"vaguemestre account add postmaster@{domain} --kind ORG"
            yield problem(
                "accounts",
                Words(
                    f"postmaster@{domain} n'existe pas : les autres opérateurs ne peuvent pas vous joindre (RFC 5321 §4.5.1).",
                    f"postmaster@{domain} does not exist: other operators cannot reach you (RFC 5321 §4.5.1).",
                ),
                Words(
                    f"Lancez : {command}, ou donnez cette adresse à un compte.",
                    f"Run: {command}, or give that address to an account.",
                ),
            )


def waiting(case: Case) -> Iterator[Finding]:
    """What waits for other operators, and for how long."""
    if case.stores is None:
        return
    rows = case.stores.database.read(queue.listing, _LISTED)
    if not rows:
        yield good("queue", Words("File d'attente vide", "Empty queue"))
        return
    oldest, held = rows[0], sum(1 for row in rows if row.held)
    since, count = clock.from_ms(oldest.created_at), f"{len(rows)}{'+' if len(rows) >= _LISTED else ''}"
    said = Words(
        f"En attente : {count} destinataires ({held} retenus), le plus ancien depuis le {since:%d/%m/%Y à %H:%M} UTC",
        f"Waiting: {count} recipients ({held} held), the oldest since {since:%Y-%m-%d %H:%M} UTC",
    )
    if case.now - since < timedelta(seconds=case.config.queue.warn_after) and not held:
        yield good("queue", said)
        return
    last = f" ; {oldest.domain} : {oldest.last_reply}" if oldest.last_reply else ""
    yield warning("queue", said, Words(f"Voyez vaguemestre queue list{last}", f"See vaguemestre queue list{last}"))


def spool(case: Case) -> Iterator[Finding]:
    """What a killed process left half received."""
    folder = case.config.data / "spool"
    before = (case.now - _SPOOL_LEFT).timestamp()
    left = [path for path in folder.glob("*") if path.exists() and path.stat().st_mtime < before]
    if left:
        yield warning(
            "spool",
            Words(
                f"{len(left)} réceptions abandonnées dans {folder}.", f"{len(left)} abandoned receptions in {folder}."
            ),
            Words("Le prochain démarrage du service les efface.", "The next start of the service deletes them."),
        )
    else:
        yield good("spool", Words("Rien d'abandonné en réception", "No abandoned reception"))
