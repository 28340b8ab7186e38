"""May this certificate speak for this domain, now? The one place where trust is decided, for mail in and mail out.

Kept true: the answer is yes only when every rule below says so; anything missing, stale or unreadable is a no. A no
that time or a repair here may turn into a yes is marked `temporary`. Deciding does no I/O.

Rules, in order; the first that fails gives the answer's `rule`, a stable identifier:
1. `no-certificate`, `certificate-unreadable`: the peer sent one that can be read;
2. `unknown-authority`, `certificate-unsuitable`: it chains to a configured authority and may identify a mail server;
3. `certificate-expired`, `certificate-not-yet-valid`: every certificate of the chain is within its dates;
4. `certificate-revoked`, `revocation-unknown` (temporary): each is known not to be revoked, by a current CRL or OCSP;
5. `no-current-list` (temporary): an allow-list is in force and within its grace;
6. `domain-not-listed`, `name-not-listed`, `name-listed-for-other-domain`: the list names it for exactly this domain.

Verdicts on chains, and decisions, are kept with the snapshot they were taken on, each with the span of time in which no
date can change it; a new list or CRL makes a new snapshot, hence forgets them.

Spec trust-space §1 (ANS's probe domains are these rules' negative suite) and §2; ADR 0003.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from vaguemestre.trust import certificates, names
from vaguemestre.trust.certificates import CertificateError, Chain
from vaguemestre.trust.names import DistinguishedName
from vaguemestre.trust.trusted_set import InForce, Snapshot, TrustedSet

_MOST_CHAINS = 2048
_MOST_DECISIONS = 16384
_TICK = timedelta(microseconds=1)
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Evidence:
    """On what a decision rests, as texts for journals and people; empty where there was nothing to see."""

    domain: str = ""
    subject: str = ""
    issuer: str = ""
    serial: str = ""
    sha256: str = ""
    list_generated: str = ""

    def facts(self) -> dict[str, str]:
        """The non-empty facts, for a journal entry or `--json`."""
        return {key: value for key in self.__slots__ if (value := getattr(self, key))}


@dataclass(frozen=True, slots=True)
class Admission:
    """A decision. `rule` is `allowed` or the rule that said no; `en`, `fr` say why and what to do next."""

    allowed: bool
    temporary: bool
    rule: str
    en: str
    fr: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A checked chain: its leaf's name and facts, and when no date or CRL can change what is known of it."""

    chain: Chain
    name: DistinguishedName
    evidence: Evidence
    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Identified:
    """What a chain proves of itself, whoever is listed: `name` only where the answer is yes."""

    admission: Admission
    name: DistinguishedName | None = None


class _Refusal(Exception):
    def __init__(self, rule: str, en: str, fr: str, *, temporary: bool = False) -> None:
        super().__init__(rule)
        self.rule, self.en, self.fr, self.temporary = rule, en, fr, temporary


def decide(trusted: TrustedSet, chain: Sequence[bytes], domain: str | None, at: datetime) -> Admission:
    """May the owner of this certificate speak for `domain` at that time, by the module's rules?

    `chain`: DER certificates as the peer sent them, leaf first; `domain` None asks whether the certificate is listed
    for any domain at all. Never raises on what a peer sent.
    """
    snapshot = trusted.snapshot
    key = (tuple(chain), domain)
    known = snapshot.decisions.get(key)
    if known is not None and known[1] <= at < known[2]:
        decision: Admission = known[0]
        return decision
    evidence = Evidence()
    try:
        verdict = _verdict(trusted, snapshot, key[0], at)
        evidence = _evidence(verdict.evidence, domain, snapshot.in_force)
        in_force = _list_at(trusted, snapshot, at)
        _refuse_name(in_force, verdict, domain)
    except _Refusal as refusal:
        if not evidence.subject:
            evidence = _evidence(_look(chain[0]) if chain else Evidence(), domain, snapshot.in_force)
        return Admission(False, refusal.temporary, refusal.rule, refusal.en, refusal.fr, evidence)
    decision = _allowed(verdict.evidence.subject, domain, evidence)
    if len(snapshot.decisions) >= _MOST_DECISIONS:
        snapshot.decisions.clear()
    begins, ends = max(verdict.begins, trusted.usable_from), min(verdict.ends, trusted.usable_until)
    snapshot.decisions[key] = (decision, begins, ends)
    return decision


def identify(trusted: TrustedSet, chain: Sequence[bytes], at: datetime) -> Identified:
    """Whose certificate is this? Rules 1 to 4 alone, for software that is no operator and stands on no list.

    Its certificate must also be one for clients (rule 2). Never raises on what a peer sent.
    """
    try:
        verdict = _verdict(trusted, trusted.snapshot, tuple(chain), at)
        certificates.refuse_as_client(verdict.chain.leaf)
    except (_Refusal, CertificateError) as refusal:
        temporary = isinstance(refusal, _Refusal) and refusal.temporary
        evidence = _look(chain[0]) if chain else Evidence()
        return Identified(Admission(False, temporary, refusal.rule, refusal.en, refusal.fr, evidence))
    subject = verdict.evidence.subject
    words = f"The certificate {subject} is good.", f"Le certificat {subject} est valable."
    return Identified(Admission(True, False, "allowed", *words, verdict.evidence), verdict.name)


def domains(trusted: TrustedSet, chain: Sequence[bytes], at: datetime) -> frozenset[str]:
    """The domains that the owner of this certificate may speak for at that time; none where `decide` says no."""
    if not decide(trusted, chain, None, at).allowed or trusted.snapshot.in_force is None:
        return frozenset()
    name = names.from_x509(certificates.load(chain[0]).subject)
    return trusted.snapshot.in_force.allow_list.domains_of(name)


def domain_listed(trusted: TrustedSet, domain: str, at: datetime) -> Admission:
    """Is mail for this domain within the trust space at that time? Rules 5 and 6; asked at submission and routing."""
    snapshot = trusted.snapshot
    evidence = _evidence(Evidence(), domain, snapshot.in_force)
    try:
        in_force = _list_at(trusted, snapshot, at)
        if in_force.allow_list.names_for(domain) is None:
            raise _Refusal(
                "domain-not-listed",
                f"The domain {domain} is not in the MSSanté trust space, so secure mail cannot go there. Ask your "
                "correspondent for their MSSanté address, or look it up in the directory.",
                f"Le domaine {domain} n'est pas inscrit dans l'espace de confiance MSSanté : le courrier "
                "sécurisé ne peut "
                "pas y être envoyé. Demandez à votre correspondant son adresse MSSanté, ou cherchez-la dans "
                "l'annuaire.",
            )
    except _Refusal as refusal:
        return Admission(False, refusal.temporary, refusal.rule, refusal.en, refusal.fr, evidence)
    return Admission(True, False, "allowed", f"{domain} is listed.", f"{domain} est inscrit.", evidence)


def verified_chain(trusted: TrustedSet, chain: Sequence[bytes], at: datetime) -> Chain | None:
    """The chain when rules 1 to 3 hold, else None: what to ask an OCSP responder about after `revocation-unknown`."""
    try:
        found = _chain(trusted, chain)
        _refuse_dates(found, at)
    except _Refusal:
        return None
    return found


def _verdict(trusted: TrustedSet, snapshot: Snapshot, chain: tuple[bytes, ...], at: datetime) -> _Verdict:
    """Rules 1 to 4. A chain that met them is kept: at another date, only its dates and revocation are asked again."""
    known: _Verdict | None = snapshot.chains.get(chain)
    if known is not None and known.begins <= at < known.ends:
        return known
    checked = _chain(trusted, chain) if known is None else known.chain
    _refuse_dates(checked, at)
    # A certificate is valid until its last second included (RFC 5280 §4.1.2.5).
    ends = min(_refuse_revoked(trusted, checked, at), checked.not_after + _TICK)
    verdict = _Verdict(checked, names.from_x509(checked.leaf.subject), _look(chain[0]), checked.not_before, ends)
    if len(snapshot.chains) >= _MOST_CHAINS:
        snapshot.chains.clear()
    snapshot.chains[chain] = verdict
    return verdict


def _chain(trusted: TrustedSet, presented: Sequence[bytes]) -> Chain:
    """Rules 1 and 2."""
    if not presented:
        raise _Refusal(
            "no-certificate",
            "This server only talks to MSSanté operators, and no certificate was presented. Configure your server to "
            "present its IGC-Santé certificate over TLS.",
            "Ce serveur ne parle qu'aux opérateurs MSSanté, et aucun certificat n'a été présenté. Configurez votre "
            "serveur pour présenter son certificat IGC-Santé en TLS.",
        )
    try:
        leaf, *others = (certificates.load(der) for der in presented)
        found = certificates.build_chain(leaf, others, trusted.authorities)
        certificates.refuse_as_peer(leaf)
    except CertificateError as error:
        raise _Refusal(error.rule, error.en, error.fr) from error
    return found


def _refuse_dates(chain: Chain, at: datetime) -> None:
    """Rule 3."""
    try:
        chain.refuse_dates(at)
    except CertificateError as error:
        raise _Refusal(error.rule, error.en, error.fr) from error


def _refuse_revoked(trusted: TrustedSet, chain: Chain, at: datetime) -> datetime:
    """Rule 4; until when its answer holds."""
    ends = _ALWAYS
    for certificate, issuer in chain.links():
        standing = trusted.standing(certificate, issuer, at)
        subject = certificates.subject_text(certificate)
        if standing.revoked:
            since = f"{standing.since:%Y-%m-%d}" if standing.since else "?"
            depuis = f"{standing.since:%d/%m/%Y}" if standing.since else "?"
            raise _Refusal(
                "certificate-revoked",
                f"The certificate {subject} was revoked on {since}. Its owner must install a new one.",
                f"Le certificat {subject} a été révoqué le {depuis}. Son titulaire doit en installer un nouveau.",
            )
        if standing.revoked is None:
            authority = certificates.subject_text(issuer)
            raise _Refusal(
                "revocation-unknown",
                f"Whether the certificate {subject} was revoked is unknown for now: there is neither a current CRL of "
                f"{authority} nor an OCSP answer. Try again later; this server's administrator must mend the refresh.",
                f"On ne sait pas pour l'instant si le certificat {subject} est révoqué : il n'y a ni liste de "
                "révocation "
                f"à jour de {authority} ni réponse OCSP. Réessayez plus tard ; l'administrateur de ce serveur doit "
                "rétablir leur renouvellement.",
                temporary=True,
            )
        ends = min(ends, standing.until)
    return ends


def _list_at(trusted: TrustedSet, snapshot: Snapshot, at: datetime) -> InForce:
    """Rule 5."""
    if snapshot.in_force is None or not trusted.usable(at):
        raise _Refusal(
            "no-current-list",
            "This server has no up-to-date MSSanté allow-list, so it can trust nobody for now. Try again later; its "
            "administrator must mend the list's refresh.",
            "Ce serveur n'a pas de liste blanche MSSanté à jour : il ne peut faire confiance à personne pour "
            "l'instant. "
            "Réessayez plus tard ; son administrateur doit rétablir le renouvellement de la liste.",
            temporary=True,
        )
    return snapshot.in_force


def _refuse_name(in_force: InForce, verdict: _Verdict, domain: str | None) -> None:
    """Rule 6."""
    subject, listed = verdict.evidence.subject, in_force.allow_list
    date = f"{listed.generated:%Y-%m-%d}"
    jour = f"{listed.generated:%d/%m/%Y}"
    entitled = listed.names_for(domain) if domain is not None else None
    if entitled is not None and verdict.name in entitled:
        return
    others = listed.domains_of(verdict.name)
    if domain is not None and entitled is None:
        raise _Refusal(
            "domain-not-listed",
            f"The domain {domain} is not in the MSSanté allow-list of {date}. Its operator must have it listed by ANS.",
            f"Le domaine {domain} n'est pas dans la liste blanche MSSanté du {jour}. Son opérateur doit le "
            "faire inscrire "
            "par l'ANS.",
        )
    if not others:
        raise _Refusal(
            "name-not-listed",
            f"The certificate name {subject} is not in the MSSanté allow-list of {date}. Its operator must "
            "have exactly "
            "this name listed by ANS, or use the certificate that is listed.",
            f"Le nom de certificat {subject} n'est pas dans la liste blanche MSSanté du {jour}. Son opérateur "
            "doit faire "
            "inscrire exactement ce nom par l'ANS, ou utiliser le certificat inscrit.",
        )
    if domain is not None:
        example = min(others)
        raise _Refusal(
            "name-listed-for-other-domain",
            f"The certificate name {subject} is listed for {_count(others, example, 'and', 'more')} but not "
            f"for {domain}. "
            "Its operator must use the certificate listed for that domain, or have this one listed for it by ANS.",
            f"Le nom de certificat {subject} est inscrit pour {_count(others, example, 'et', 'autres')} mais pas pour "
            f"{domain}. Son opérateur doit utiliser le certificat inscrit pour ce domaine, ou y faire inscrire "
            "celui-ci "
            "par l'ANS.",
        )


def _count(others: frozenset[str], example: str, conjunction: str, more: str) -> str:
    return example if len(others) == 1 else f"{example} ({conjunction} {len(others) - 1} {more})"


def _look(der: bytes) -> Evidence:
    """What a certificate says of itself, trusted or not; empty when it cannot be read."""
    try:
        certificate = certificates.load(der)
    except CertificateError:
        return Evidence()
    return Evidence(
        subject=certificates.subject_text(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        serial=f"{certificate.serial_number:x}",
        sha256=certificates.fingerprint(certificate),
    )


def _evidence(seen: Evidence, domain: str | None, in_force: InForce | None) -> Evidence:
    generated = in_force.allow_list.generated.isoformat() if in_force else ""
    return Evidence(domain or "", seen.subject, seen.issuer, seen.serial, seen.sha256, generated)


def _allowed(subject: str, domain: str | None, evidence: Evidence) -> Admission:
    where = (f"for {domain}", f"pour {domain}") if domain else ("in the trust space", "dans l'espace de confiance")
    return Admission(
        True, False, "allowed", f"{subject} is listed {where[0]}.", f"{subject} est inscrit {where[1]}.", evidence
    )
