"""The examination of an installation: every check, one after the other.

What it keeps true: looking changes nothing but what opening the store does; nothing is sent to another operator; one
thing that is broken hides no other, for each check stands alone. Nothing secret is shown.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress

from vaguemestre import app as composition
from vaguemestre import clock
from vaguemestre.app import Stores
from vaguemestre.config import Config, Trust
from vaguemestre.diagnosis import identity, machine, mail, programs
from vaguemestre.diagnosis.findings import Case, Finding, Words, good, guarded, problem, stopped, warning
from vaguemestre.errors import VaguemestreError
from vaguemestre.trust import certificates, updater
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.publisher import Authority
from vaguemestre.trust.trusted_set import TrustedSet
from vaguemestre.trust.updater import Outcome, Refreshed

_CHECKS: tuple[tuple[str, Callable[[Case], Iterator[Finding]]], ...] = (
    ("database", mail.database),
    ("allow-list", identity.allow_list),
    ("revocation", identity.revocation),
    ("certificate", identity.certificate),
    ("names", machine.names),
    ("port", machine.port),
    ("certificate", programs.certificate),
    ("identity", programs.signing_in),
    ("mail-programs", programs.ports),
    ("autoconfiguration", programs.autoconfiguration),
    ("records", programs.records),
    ("accounts", mail.people),
    ("queue", mail.waiting),
    ("spool", mail.spool),
    ("clock", machine.clock_against_files),
)


def examine(config: Config) -> Iterator[Finding]:
    """Every finding, as it is made. What is wrong with the installation never raises."""
    if config.authority is not None:
        yield from guarded("authority", lambda: _authority(config))
    if config.trust is None or config.tls is None or not config.domains:
        if config.authority is None:
            yield problem(
                "configuration",
                Words("La configuration ne décrit pas d'opérateur.", "The configuration describes no operator."),
                Words(
                    "Donnez-lui hostname, domains, [tls] et [trust].", "Give it hostname, domains, [tls] and [trust]."
                ),
            )
        return
    domains = ", ".join(config.domains)
    yield good(
        "configuration",
        Words(f"Configuration : {config.hostname} pour {domains}", f"Configuration: {config.hostname} for {domains}"),
    )
    yield from guarded("data", lambda: machine.data(config))
    with ExitStack() as stack:
        found: list[Finding] = []
        stores, trusted = _opened(config, stack, found)
        fetched = _fetched(config.trust, trusted, found)
        yield from found
        case = Case(config, config.trust, config.tls, clock.now(), stores, trusted, fetched)
        for name, check in _CHECKS:
            yield from guarded(name, lambda check=check: check(case))  # type: ignore[misc]


def _authority(config: Config) -> Iterator[Finding]:
    assert config.authority is not None  # noqa: S101 - the caller checked
    folder = config.authority.folder
    if Authority.open(folder).published:
        yield good("authority", Words(f"Autorité : {folder}", f"Authority: {folder}"))
        return
    yield warning(
        "authority",
        Words(
            f"L'autorité {folder} n'a pas encore publié de liste.", f"The authority {folder} has published no list yet."
        ),
        Words("Lancez : vaguemestre trust authority publish", "Run: vaguemestre trust authority publish"),
    )


def _opened(config: Config, stack: ExitStack, found: list[Finding]) -> tuple[Stores | None, TrustedSet | None]:
    stores, trusted = None, None
    try:
        stores = stack.enter_context(composition.open_stores(config))
    except (VaguemestreError, OSError) as error:
        found.append(stopped("database", error))
    if (config.data / "trust").exists():  # opening makes it, perhaps with the wrong owner
        with suppress(VaguemestreError):  # the authorities' file: `_fetched` tells
            trusted = composition.trusted_set(config)
    return stores, trusted


def _fetched(trust: Trust, kept: TrustedSet | None, found: list[Finding]) -> TrustedSet | None:
    """What the sources give, verified as the service does, in a set that is thrown away; a failure is a finding."""
    try:
        trial = TrustedSet(_authorities(trust), trust.signer)
    except (VaguemestreError, OSError) as error:
        found.append(stopped("authorities", error))
        return None
    served = kept is not None and kept.usable(clock.now())
    for outcome in asyncio.run(_fetch(trust, trial)):
        if not isinstance(outcome, Refreshed):
            said = Words(outcome.fr, outcome.en)
            harmless = served or outcome.kind != "allow-list"
            found.append(warning("source", said) if harmless else problem("source", said))
    return trial if trial.in_force is not None else None


async def _fetch(trust: Trust, trial: TrustedSet) -> list[Outcome]:
    secure, now = updater.tls_context(trial.authorities), clock.now()
    crls = [updater.refresh_crl(trial, source, now, secure) for source in trust.crls]
    return [await updater.refresh(trial, trust.list, now, secure), *await asyncio.gather(*crls)]


def _authorities(trust: Trust) -> Authorities:
    found = [certificates.load_authorities(path.read_bytes()).certificates for path in trust.authorities]
    return Authorities(tuple(each for several in found for each in several))
