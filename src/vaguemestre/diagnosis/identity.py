"""What an operator is to the others: its certificate, the list that names it, what was revoked."""

import asyncio
import stat
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from vaguemestre import app as composition
from vaguemestre.diagnosis.findings import Case, Finding, Words, clock_behind, good, problem, warning
from vaguemestre.protocols import tls
from vaguemestre.trust import certificates

RENEW_BEFORE = timedelta(days=30)
_CRL_SOON = timedelta(hours=12)
_CLOCK_TOLERANCE = timedelta(minutes=5)
_CORRECT_HOSTNAME = Words(
    "Corrigez hostname, ou demandez un certificat à ce nom : des opérateurs peuvent le vérifier.",
    "Correct hostname, or ask for a certificate of that name: operators may check it.",
)


def certificate(case: Case) -> Iterator[Finding]:
    """It can be read, its key is its own and kept private, its dates, its names, and what the list says of it."""
    file, key = case.identity.certificate, case.identity.key
    tls.server_context(file, key)  # its refusals say which file is wrong, and how
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o007:  # a group of its own is Debian's way
        yield problem(
            "certificate",
            Words(
                f"La clé privée {key} est lisible par d'autres ({mode:o}).",
                f"The private key {key} is open to others ({mode:o}).",
            ),
            Words(f"Lancez : chmod 600 {key}", f"Run: chmod 600 {key}"),
        )
    chain = x509.load_pem_x509_certificates(file.read_bytes())
    yield _dates(chain[0], case.now)
    yield from naming("certificate", chain[0], case.config.hostname, _CORRECT_HOSTNAME)
    if len(chain) == 1:
        yield warning(
            "certificate",
            Words(
                f"{file} ne contient pas le certificat de l'émetteur.",
                f"{file} lacks the issuer's certificate.",
            ),
            Words(
                "Ajoutez-le après le vôtre : certains opérateurs en ont besoin pour vous reconnaître.",
                "Add it after yours: some operators need it to recognise you.",
            ),
        )
    yield from _admissions(case, [each.public_bytes(Encoding.DER) for each in chain])


def _dates(leaf: x509.Certificate, now: datetime) -> Finding:
    name, ends = certificates.subject_text(leaf), leaf.not_valid_after_utc
    days = (ends - now).days
    said = Words(
        f"Certificat {name} : jusqu'au {ends:%d/%m/%Y} ({days} jours)",
        f"Certificate {name}: until {ends:%Y-%m-%d} ({days} days)",
    )
    mend = Words("Demandez-en un nouveau à l'IGC-Santé.", "Ask IGC-Santé for a new one.")
    if ends <= now:
        return problem(
            "certificate",
            Words(
                f"Le certificat {name} a expiré le {ends:%d/%m/%Y}.",
                f"The certificate {name} expired on {ends:%Y-%m-%d}.",
            ),
            mend,
        )
    if leaf.not_valid_before_utc > now:
        begins = leaf.not_valid_before_utc
        return clock_behind(
            now, Words(f"le début de validité du certificat {name}", f"the start of the certificate {name}"), begins
        )
    return warning("certificate", said, mend) if ends - now < RENEW_BEFORE else good("certificate", said)


def naming(check: str, leaf: x509.Certificate, host: str, mend: Words) -> Iterator[Finding]:
    """A certificate names a host, itself or by a name for all of its domain; nothing is said where it does."""
    names = certificates.extension(leaf, x509.SubjectAlternativeName)
    hosts = [each.lower() for each in names.get_values_for_type(x509.DNSName)] if names is not None else []
    wanted = host.lower()
    if wanted not in hosts and f"*.{wanted.partition('.')[2]}" not in hosts:
        shown = ", ".join(hosts) or "-"
        yield warning(
            check,
            Words(
                f"Le certificat ne nomme pas l'hôte {host} (il nomme : {shown}).",
                f"The certificate does not name the host {host} (it names: {shown}).",
            ),
            mend,
        )


def _admissions(case: Case, chain: Sequence[bytes]) -> Iterator[Finding]:
    """What the judge of any operator would say of us, for each of our domains."""
    usable = case.trusted is not None and case.trusted.usable(case.now)
    trusted = case.trusted if usable else case.fetched
    if trusted is None:
        return
    judge = composition.judge(case.config, trusted)
    for domain in case.config.domains:
        decided = judge.decide(chain, domain)
        if judge.may_learn(decided, chain):
            decided = asyncio.run(judge.learn(chain, domain))
        said = Words(f"{domain} : {decided.fr}", f"{domain}: {decided.en}")
        if decided.allowed:
            yield good("admission", said)
        else:  # its words say what to do
            yield warning("admission", said) if decided.temporary else problem("admission", said)


def allow_list(case: Case) -> Iterator[Finding]:
    """The one in force: how old, by whom, any alarm; and whether a new one could be had now."""
    if case.trusted is not None and case.trusted.in_force is not None:
        listed = case.trusted.in_force
        generated, count = listed.allow_list.generated, len(listed.allow_list.names)
        days = (case.now - generated).days
        yield good(
            "allow-list",
            Words(
                f"Liste blanche du {generated:%d/%m/%Y} ({days} jours), {count} domaines, signée par {listed.signer}",
                f"Allow-list of {generated:%Y-%m-%d} ({days} days old), {count} domains, signed by {listed.signer}",
            ),
        )
        if generated > case.now + _CLOCK_TOLERANCE:
            yield clock_behind(case.now, Words("la liste blanche", "the allow-list"), generated)
    alarm = case.trusted.alarm(case.now) if case.trusted is not None else None
    if alarm is not None:
        words = Words(alarm.fr, alarm.en)
        yield problem("allow-list", words) if alarm.stopped else warning("allow-list", words)
    if case.fetched is not None:
        source = case.trust.list
        yield good("source", Words(f"Liste bonne à l'adresse {source}", f"A good list at {source}"))


def revocation(case: Case) -> Iterator[Finding]:
    """The CRLs held, and when they stop counting."""
    trusted = case.trusted or case.fetched
    for crl in trusted.revocation_lists if trusted is not None else ():
        name, due = certificates.subject_text(crl.issuer), crl.next_update
        said = Words(
            f"Révocations de {name} : {len(crl.serials)}, à renouveler avant le {due:%d/%m/%Y à %H:%M} UTC",
            f"Revocations of {name}: {len(crl.serials)}, to be renewed before {due:%Y-%m-%d %H:%M} UTC",
        )
        mend = Words(
            "Vérifiez les adresses crls de [trust] et le réseau ; sans liste à jour, il faut que le répondeur OCSP réponde.",
            "Check the crls addresses in [trust] and the network; without a current list the OCSP responder must answer.",
        )
        yield warning("revocation", said, mend) if due <= case.now + _CRL_SOON else good("revocation", said)
