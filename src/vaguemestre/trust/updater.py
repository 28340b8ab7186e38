"""Fetching what trust rests on: the allow-list, the CRLs, and OCSP answers where no CRL is current.

Kept true: nothing fetched comes into force here, only through `TrustedSet`; every attempt gives an outcome, never an
exception, and the caller journals it; a failed attempt changes nothing but the alarm.

Rules: a source is an http(s) address or a path; redirects are not followed, sizes and times are bounded; a list travels
over TLS checked against the given authorities, and whoever serves it, it is its own signature that counts. Verifying
runs in a thread, so the loop stays free.

Spec trust-space §1 "URL" (the list's server has an IGC-Santé certificate) and §2 "PKI" (CRL and OCSP addresses).
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AuthorityInformationAccessOID

from vaguemestre.errors import VaguemestreError
from vaguemestre.trust import admission, certificates, revocation
from vaguemestre.trust.allowlist import MAX_BYTES, AllowListError
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.revocation import MAX_CRL_BYTES, MAX_OCSP_BYTES, RevocationListError
from vaguemestre.trust.trusted_set import Loaded, TrustedSet

TIMEOUT_SECONDS = 60.0


class FetchError(VaguemestreError):
    """What was asked for could not be fetched; it may be there later."""

    rule = "fetch-failed"


@dataclass(frozen=True, slots=True)
class Refreshed:
    """A source was read and is good. `changed` is False when it brought nothing new.

    `kind`: `allow-list`, `crl` or `ocsp`; `facts`: texts for the journal (dates, digests, counts).
    """

    kind: str
    source: str
    at: datetime
    changed: bool
    en: str
    fr: str
    facts: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefreshFailed:
    """A source was not read, or was refused; what was in force stays. `rule` is the stable identifier of the reason."""

    kind: str
    source: str
    at: datetime
    rule: str
    en: str
    fr: str


Outcome = Refreshed | RefreshFailed


def tls_context(authorities: Authorities) -> ssl.SSLContext:
    """TLS for fetching, trusting exactly these authorities, an issuing authority alone included."""
    context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cadata=_pem(authorities))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


async def refresh(trusted: TrustedSet, source: str, at: datetime, tls: ssl.SSLContext | None = None) -> Outcome:
    """Fetch the allow-list from `source` and bring it into force if it is good and newer.

    `tls`: from `tls_context`; None trusts the system's authorities.
    """
    try:
        data = await _fetch(source, MAX_BYTES, tls)
        loaded = await asyncio.to_thread(trusted.load, data, at)
    except (AllowListError, FetchError) as error:
        return await _list_failed(trusted, source, at, error, error.rule)
    except OSError as error:
        return await _list_failed(trusted, source, at, _disk_failure(error), "disk-failed")
    return _list_refreshed(loaded, source, at)


async def refresh_crl(trusted: TrustedSet, source: str, at: datetime, tls: ssl.SSLContext | None = None) -> Outcome:
    """Fetch a CRL from `source` and keep it if it is good and newer."""
    try:
        data = await _fetch(source, MAX_CRL_BYTES, tls)
        taken = await asyncio.to_thread(trusted.add_crl, data, at)
    except (RevocationListError, FetchError) as error:
        return RefreshFailed("crl", source, at, error.rule, error.en, error.fr)
    except OSError as error:
        failure = _disk_failure(error)
        return RefreshFailed("crl", source, at, "disk-failed", failure.en, failure.fr)
    if taken is None:
        return Refreshed("crl", source, at, False, "The CRL has not changed.", "La liste de révocation est inchangée.")
    name = certificates.subject_text(taken.issuer)
    return Refreshed(
        "crl",
        source,
        at,
        True,
        f"New CRL of {name}: {len(taken.serials)} certificates revoked.",
        f"Nouvelle liste de révocation de {name} : {len(taken.serials)} certificats révoqués.",
        {"issuer": name, "revoked": str(len(taken.serials)), "next_update": taken.next_update.isoformat()},
    )


async def learn_revocation(
    trusted: TrustedSet,
    chain: Sequence[bytes],
    at: datetime,
    responder: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> list[Outcome]:
    """Ask OCSP responders about each certificate of a chain of which nothing current is known.

    To be awaited after a decision whose rule is `revocation-unknown`; then decide again. Only a chain that leads to a
    configured authority makes us ask anything. `responder`: address used instead of the one in the certificates.
    """
    verified = admission.verified_chain(trusted, chain, at)
    if verified is None:
        return []
    return [
        await _ask(trusted, link, at, responder or _responder(link[0]), tls)
        for link in verified.links()
        if trusted.standing(*link, at).revoked is None
    ]


async def _ask(
    trusted: TrustedSet,
    link: tuple[x509.Certificate, x509.Certificate],
    at: datetime,
    address: str,
    tls: ssl.SSLContext | None,
) -> Outcome:
    name = certificates.subject_text(link[0])
    if not address:
        en = f"The certificate {name} names no OCSP responder; configure its authority's CRL or responder."
        fr = f"Le certificat {name} ne donne pas de répondeur OCSP ; configurez la CRL ou le répondeur de son autorité."
        return RefreshFailed("ocsp", "", at, "ocsp-no-responder", en, fr)
    try:
        data = await _fetch(address, MAX_OCSP_BYTES, tls, revocation.ocsp_request(*link))
        standing = trusted.add_ocsp(data, *link, at)
    except (RevocationListError, FetchError) as error:
        return RefreshFailed("ocsp", address, at, error.rule, error.en, error.fr)
    en, fr = ("revoked", "révoqué") if standing.revoked else ("good", "bon")
    facts = {"subject": name, "status": en, "until": standing.until.isoformat()}
    return Refreshed("ocsp", address, at, True, f"OCSP: {name} is {en}.", f"OCSP : {name} est {fr}.", facts)


async def _fetch(source: str, most: int, tls: ssl.SSLContext | None, body: bytes | None = None) -> bytes:
    """The bytes of a source, `most` at most. Raises FetchError."""
    if not source.startswith(("http://", "https://")):
        return await asyncio.to_thread(_read, Path(source), most)
    headers = {"Content-Type": "application/ocsp-request"} if body is not None else {}
    method = "GET" if body is None else "POST"
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            httpx.AsyncClient(verify=tls if tls is not None else True, timeout=TIMEOUT_SECONDS) as client,
            client.stream(method, source, content=body, headers=headers) as response,
        ):
            if response.status_code != 200:
                raise _unreachable(source, f"HTTP {response.status_code}")
            received = bytearray()
            async for piece in response.aiter_bytes():
                received += piece
                if len(received) > most:
                    raise _unreachable(source, f"> {most >> 10} kB")
            return bytes(received)
    except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
        raise _unreachable(source, str(error) or type(error).__name__) from error


def _read(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise _unreachable(str(path), error.strerror or "?") from error
    if len(data) > most:
        raise _unreachable(str(path), f"> {most >> 10} kB")
    return data


def _list_refreshed(loaded: Loaded, source: str, at: datetime) -> Refreshed:
    current = loaded.in_force
    listed = current.allow_list
    facts = {
        "generated": listed.generated.isoformat(),
        "sha256": current.sha256,
        "signer": current.signer,
        "entries": str(len(listed.entries)),
        "domains": str(len(listed.names)),
        "unreadable": str(len(listed.unreadable)),
    }
    if loaded.previous_generated is not None:
        facts["previous_generated"] = loaded.previous_generated.isoformat()
    when, quand = f"{listed.generated:%Y-%m-%d %H:%M}", f"{listed.generated:%d/%m/%Y à %H:%M}"
    if not loaded.changed:
        en = f"The allow-list of {when} UTC is still the current one."
        fr = f"La liste blanche du {quand} UTC est toujours la dernière."
    else:
        en = f"The allow-list of {when} UTC is in force: {len(listed.names)} domains."
        fr = f"La liste blanche du {quand} UTC est en vigueur : {len(listed.names)} domaines."
    return Refreshed("allow-list", source, at, loaded.changed, en, fr, facts)


async def _list_failed(
    trusted: TrustedSet, source: str, at: datetime, error: VaguemestreError, rule: str
) -> RefreshFailed:
    try:
        await asyncio.to_thread(trusted.note_failure, error)
    except OSError as failure:  # the alarm is kept in memory all the same
        error, rule = _disk_failure(failure), "disk-failed"
    return RefreshFailed("allow-list", source, at, rule, error.en, error.fr)


def _responder(certificate: x509.Certificate) -> str:
    access = certificates.extension(certificate, x509.AuthorityInformationAccess)
    for item in access or ():
        if item.access_method == AuthorityInformationAccessOID.OCSP and isinstance(
            item.access_location, x509.UniformResourceIdentifier
        ):
            address: str = item.access_location.value
            if address.startswith(("http://", "https://")):
                return address
    return ""


def _pem(authorities: Authorities) -> str:
    return "".join(item.public_bytes(Encoding.PEM).decode() for item in authorities.certificates)


def _unreachable(source: str, detail: str) -> FetchError:
    return FetchError(
        f"{source} could not be fetched ({detail}); what was in force stays, and it will be tried again.",
        f"{source} n'a pas pu être récupéré ({detail}) ; ce qui était en vigueur le reste, et un nouvel essai suivra.",
    )


def _disk_failure(error: OSError) -> VaguemestreError:
    return VaguemestreError(
        f"The disk refused what was to be kept ({error.strerror}); free some space or mend it.",
        f"Le disque a refusé ce qui devait être conservé ({error.strerror}) ; libérez de la place ou réparez-le.",
    )
