"""What is wrong with an installation, and how to mend it: every check of `vaguemestre doctor`.

What it keeps true: looking changes nothing but what opening the store does, nothing is sent to another operator, and one
thing that is broken hides no other: each check stands alone and gives at least one finding. Nothing secret is shown.

Rules: a problem stops mail, or will without a hand; a warning deserves a look; both say what to do, French first.
"""

import asyncio
import os
import shutil
import socket
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vaguemestre import app as composition
from vaguemestre import clock, ids
from vaguemestre.app import Stores
from vaguemestre.config import Config, Tls, Trust, address
from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.evidence import journal
from vaguemestre.mailstore import accounts
from vaguemestre.protocols import tls
from vaguemestre.storage import keys, schema
from vaguemestre.transport import queue
from vaguemestre.transport.routing import Router
from vaguemestre.trust import certificates, updater
from vaguemestre.trust.certificates import Authorities, CertificateError
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.publisher import Authority
from vaguemestre.trust.trusted_set import TrustedSet
from vaguemestre.trust.updater import Refreshed

_LITTLE_SPACE = 5_000_000_000
_NO_SPACE = 500_000_000
_RENEW_BEFORE = timedelta(days=30)
_OLD_LIST = timedelta(days=60)  # the real one changes every few weeks
_CLOCK_TOLERANCE = timedelta(minutes=5)
_SPOOL_S = 3600.0
_ANSWER_S = 3.0


class Level(StrEnum):
    """How a finding must be taken."""

    GOOD = "good"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `mend_…` say what to do, empty when there is nothing to mend."""

    check: str
    level: Level
    fr: str
    en: str
    mend_fr: str = ""
    mend_en: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    """What the checks share. `trusted` and `stores` are None where they could not be opened."""

    config: Config
    trust: Trust
    identity: Tls
    now: datetime
    trusted: TrustedSet | None
    stores: Stores | None


def examine(config: Config) -> Iterator[Finding]:
    """Every finding, as it is made. Never raises on what is wrong with the installation."""
    if config.authority is not None:
        yield from _guarded("authority", lambda: _authority(config.authority.folder))  # type: ignore[union-attr]
    if config.trust is None or config.tls is None or not config.domains:
        if config.authority is None:
            yield Finding(
                "configuration",
                Level.PROBLEM,
                "La configuration ne décrit pas d'opérateur.",
                "The configuration describes no operator.",
                "Ajoutez-y hostname, domains, [tls] et [trust] ; voyez docs/operating.md.",
                "Add hostname, domains, [tls] and [trust] to it; see docs/operating.md.",
            )
        return
    yield _good(
        "configuration",
        f"Configuration lue : {config.hostname}, {_listed(config.domains)}.",
        f"Configuration read: {config.hostname}, {_listed(config.domains)}.",
    )
    yield from _guarded("data", lambda: _data(config))
    yield from _guarded("keys", lambda: _keys(config))
    now = clock.now()
    try:
        trusted = composition.trusted_set(config) if (config.data / "trust").exists() else None
    except VaguemestreError as error:
        yield _refused("allow-list", error)
        trusted = None
    else:
        yield from _guarded("allow-list", lambda: _allow_list(trusted, now))
    try:
        with composition.open_stores(config) as stores:
            yield _good("database", *_both(f"Base de données ouverte, schéma {schema.latest()}", f"Database open, schema {schema.latest()}"))
            yield from _operator(_Case(config, config.trust, config.tls, now, trusted, stores))
    except VaguemestreError as error:
        yield _refused("database", error)
        yield from _operator(_Case(config, config.trust, config.tls, now, trusted, None))
