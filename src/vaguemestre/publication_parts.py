"""Publication in the certified directory, composed: from a Config to what tells it of our accounts."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from vaguemestre import clock
from vaguemestre.config import Config
from vaguemestre.errors import ConfigurationError
from vaguemestre.jobs import Job
from vaguemestre.mailstore import publications
from vaguemestre.storage.database import Database
from vaguemestre.trust import certificates, updater

if TYPE_CHECKING:
    from vaguemestre.enrolment.publication import Publisher

_RESULTS_KEPT_MS = 180 * 86_400_000


@contextlib.asynccontextmanager
async def publisher(config: Config, database: Database) -> "AsyncIterator[Publisher]":
    """What tells the directory of this operator's accounts. Raises ConfigurationError."""
    from vaguemestre.enrolment.directory_client import DirectoryClient, tls_context  # noqa: PLC0415 - few need it
    from vaguemestre.enrolment.publication import Publisher  # noqa: PLC0415

    own = config.publication
    if own is None or config.tls is None or config.trust is None:
        raise ConfigurationError(
            "Publishing needs [publication] directory, and the operator's [tls] and [trust].",
            "Publier demande [publication] directory, ainsi que [tls] et [trust] de l'opérateur.",
        )
    paths = [own.authorities] if own.authorities is not None else config.trust.authorities
    trusting = updater.tls_context(_authorities(paths))
    secure = tls_context(trusting, str(config.tls.certificate), str(config.tls.key))
    client = DirectoryClient(own.directory, secure)
    try:
        yield Publisher(
            database,
            client,
            config.domains,
            withdrawal_limit=own.withdrawal_limit,
            pause_scale=own.pause_scale,
        )
    finally:
        await client.close()


def jobs(config: Config, publishing: "Publisher", database: Database) -> list[Job]:
    """What tells the directory, compares each night, and forgets old results."""
    own = config.publication
    assert own is not None  # noqa: S101 - `publisher` saw to it

    async def publish() -> None:
        await publishing.publish()

    async def reconcile() -> None:
        await publishing.reconcile()

    async def forget() -> None:
        await database.write_async(publications.forget, clock.now_ms() - _RESULTS_KEPT_MS)

    return [
        Job("publish accounts", own.every, publish),
        Job("compare with the directory", own.reconcile, reconcile),
        Job("forget publications", 86_400, forget),
    ]


def _authorities(paths: Sequence[Path]) -> certificates.Authorities:
    found: list[x509.Certificate] = []
    for path in paths:
        try:
            found += certificates.load_authorities(path.read_bytes()).certificates
        except OSError as error:
            raise ConfigurationError(
                f"The authorities' file {path} cannot be read: {error.strerror}.",
                f"Le fichier des autorités {path} ne peut pas être lu : {error.strerror}.",
            ) from error
    return certificates.Authorities(tuple(found))
