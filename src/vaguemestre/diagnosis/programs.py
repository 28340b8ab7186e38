"""Mail programs: whether they can sign in, find us, and be answered.

Rules: nobody signs in here, and the provider of identity is asked only what tells strangers from clients: for its keys, or
about a token that nobody has. Only warnings where DNS is concerned: it may be absent here on purpose.
"""

import asyncio
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from socket import socket

import dns.asyncresolver
import dns.exception
from cryptography import x509

from vaguemestre import app as composition
from vaguemestre.config import Config
from vaguemestre.diagnosis import identity, machine
from vaguemestre.diagnosis.findings import Case, Finding, Words, good, problem, warning
from vaguemestre.documents.zone import Record
from vaguemestre.identity.provider import ProviderRefusal
from vaguemestre.identity.tokens import ProviderFailure, TokenVerifier
from vaguemestre.servers import http

_ANSWER_S = 3.0
_MOST_READ = 65_536
_ABSENT = "0 0 0 ."
_SETTINGS = "/mail/config-v1.1.xml"


def _serves(config: Config) -> bool:
    return config.imap is not None or config.submission is not None


def signing_in(case: Case) -> Iterator[Finding]:
    """Somebody can; the provider of identity answers; what programs are told to try is what is offered."""
    config, offered = case.config, case.config.identity
    if not _serves(config):
        return
    tokens = composition.token_verifier(offered)  # its refusals say what is wrong with [identity]
    if tokens is not None:
        yield _provider(asyncio.run(_probed(tokens)), config)
    if offered.app_passwords:
        yield good("identity", Words("Les mots de passe d'application sont admis", "App passwords are accepted"))
    elif tokens is None:
        yield warning(
            "identity",
            Words(
                "Seuls des logiciels à certificat peuvent se connecter : aucune personne ne le peut.",
                "Only software with a certificate can sign in: no person can.",
            ),
            Words(
                "Donnez issuer (Pro Santé Connect), ou app_passwords = true, à [identity].",
                "Give [identity] an issuer (Pro Santé Connect), or app_passwords = true.",
            ),
        )
    told = config.autoconfiguration.authentication if config.autoconfiguration is not None else ()
    for way, possible, key in (
        ("OAuth2", tokens is not None, "issuer"),
        ("password-cleartext", offered.app_passwords, "app_passwords"),
    ):
        if way in told and not possible:
            yield warning(
                "autoconfiguration",
                Words(
                    f"Les logiciels essaieront {way}, que ce serveur n'admet pas.",
                    f"Programs will try {way}, which this server does not accept.",
                ),
                Words(
                    f"Ôtez-le d'authentication dans [autoconfiguration], ou donnez {key} à [identity].",
                    f"Take it out of authentication in [autoconfiguration], or give [identity] {key}.",
                ),
            )


async def _probed(tokens: TokenVerifier) -> ProviderFailure | None:
    try:
        await tokens.probe()
    except ProviderFailure as failure:
        return failure
    finally:
        await tokens.close()
    return None


def _provider(failure: ProviderFailure | None, config: Config) -> Finding:
    asked = config.identity.introspection or config.identity.jwks or config.identity.issuer
    if failure is None:
        return good(
            "provider",
            Words(f"Le fournisseur d'identité répond : {asked}", f"The provider of identity answers: {asked}"),
        )
    refused = isinstance(failure, ProviderRefusal) or failure.detail in ("HTTP 400", "HTTP 401", "HTTP 403")
    return problem(
        "provider",
        Words(
            f"Le fournisseur d'identité ne répond pas comme il faut ({failure.detail}) : {asked}.",
            f"The provider of identity does not answer as it must ({failure.detail}): {asked}.",
        ),
        Words("Vérifiez client et client_secret dans [identity].", "Check client and client_secret in [identity].")
        if refused and config.identity.introspection
        else Words(
            "Vérifiez issuer, jwks, introspection et authorities dans [identity], et le réseau.",
            "Check issuer, jwks, introspection and authorities in [identity], and the network.",
        ),
    )


def ports(case: Case) -> Iterator[Finding]:
    """Each answers as ours, or could be opened."""
    config = case.config
    told = b"* OK ", f"220 {config.hostname} ".encode()
    for section, where, greeting in (("[imap]", config.imap, told[0]), ("[submission]", config.submission, told[1])):
        for key in ("listen", "listen_tls") if where is not None else ():
            implicit = key == "listen_tls"

            def ours(line: socket, greeting: bytes = greeting, implicit: bool = implicit) -> bool:
                with _secured(line) if implicit else line as speaking:
                    said = speaking.recv(_MOST_READ)
                return said.startswith(greeting) and b"Vaguemestre" in said

            yield from machine.answering("mail-programs", getattr(where, key), f"{key} {section}", ours)


def autoconfiguration(case: Case) -> Iterator[Finding]:
    """The service answers with our settings, under a certificate that names what programs ask for."""
    own = case.config.autoconfiguration
    if own is None:
        return
    composition.settings(case.config)  # its refusal says what is missing
    certificate, key = own.certificate or case.identity.certificate, own.key or case.identity.key
    http.server_context(certificate, key)
    leaf = _leaf(certificate)
    yield from _lasting(leaf, certificate, case.now)
    for domain in case.config.domains:
        yield from identity.naming("autoconfiguration", leaf, f"autoconfig.{domain}", _ASK_FOR_NAME)
    asked = f"autoconfig.{case.config.domains[0]}"

    def ours(line: socket) -> bool:
        with _secured(line) as secured:
            secured.sendall(f"GET {_SETTINGS} HTTP/1.1\r\nHost: {asked}\r\nConnection: close\r\n\r\n".encode("ascii"))
            said = b""
            while len(said) < _MOST_READ and (more := secured.recv(_MOST_READ)):
                said += more
        return said.startswith(b"HTTP/1.1 200") and b"<clientConfig" in said

    yield from machine.answering("autoconfiguration", own.listen, "listen [autoconfiguration]", ours)


_ASK_FOR_NAME = Words(
    "Demandez un certificat à ce nom : les logiciels de messagerie le vérifient.",
    "Ask for a certificate of that name: mail programs check it.",
)


def certificate(case: Case) -> Iterator[Finding]:
    """That of [tls] names the hosts that mail programs are told; `identity.certificate` looks at the rest."""
    if not _serves(case.config):
        return
    told = composition.settings(case.config)
    hosts = {each.host for each in (*told.imap, *told.submission)} - {case.config.hostname}
    leaf = _leaf(case.identity.certificate)
    for host in sorted(hosts):
        yield from identity.naming("certificate", leaf, host, _ASK_FOR_NAME)


def _leaf(certificate: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(certificate.read_bytes())[0]


def _lasting(leaf: x509.Certificate, file: Path, now: datetime) -> Iterator[Finding]:
    left = leaf.not_valid_after_utc - now
    if left > identity.RENEW_BEFORE:
        return
    ends = leaf.not_valid_after_utc
    said = Words(
        f"Le certificat {file} vaut jusqu'au {ends:%d/%m/%Y}.", f"The certificate {file} is good until {ends:%Y-%m-%d}."
    )
    mend = Words("Renouvelez-le.", "Renew it.")
    yield (
        warning("autoconfiguration", said, mend)
        if left.total_seconds() > 0
        else problem("autoconfiguration", said, mend)
    )


def _secured(line: socket) -> ssl.SSLSocket:
    """TLS with whoever is there: what its certificate is worth, other checks tell."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(line)


def records(case: Case) -> Iterator[Finding]:
    """What DNS says of our services is what `vaguemestre dns` prints, but for MX, which `names` looks at."""
    if not _serves(case.config) and case.config.autoconfiguration is None:
        return
    yield from asyncio.run(_published(case.config))


async def _published(config: Config) -> list[Finding]:
    return list(await asyncio.gather(*(_of_domain(config, domain) for domain in config.domains)))


async def _of_domain(config: Config, domain: str) -> Finding:
    wanted = [
        each
        for each in composition.zone_records(config, domain)
        if each.type in ("SRV", "CNAME") and each.value != _ABSENT
    ]
    found = await asyncio.gather(*(_is_published(each) for each in wanted))
    missing = [f"{each.name} {each.type}" for each, there in zip(wanted, found, strict=True) if not there]
    if not missing:
        return good(
            "records",
            Words(f"{domain} : le DNS conduit les logiciels ici", f"{domain}: DNS leads mail programs here"),
        )
    named = ", ".join(missing)
    return warning(
        "records",
        Words(f"{domain} : le DNS ne donne pas {named}.", f"{domain}: DNS does not give {named}."),
        Words(f"Publiez ce qu'écrit vaguemestre dns {domain}.", f"Publish what vaguemestre dns {domain} prints."),
    )


async def _is_published(record: Record) -> bool:
    """Whether DNS has it; an alias may as well be addresses."""
    answers = await answers_to(record.name, record.type)
    if record.type == "CNAME" and not answers:
        return bool(await answers_to(record.name, "A") or await answers_to(record.name, "AAAA"))
    return record.value.lower() in (each.lower() for each in answers)


async def answers_to(name: str, kind: str) -> list[str]:
    """What DNS answers, as zone files write it; nothing where it does not."""
    try:
        answer = await dns.asyncresolver.Resolver().resolve(name, kind, lifetime=_ANSWER_S, search=False)
    except (dns.exception.DNSException, OSError):
        return []
    return [each.to_text() for each in answer]
