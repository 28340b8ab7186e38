"""What the authorities say of the certificates they took back: CRLs, and OCSP answers where no CRL is current.

Kept true: an answer was signed by the authority it speaks for; the last good CRL of each authority stays on disk,
whole, and is never replaced by an older one; silence is never taken for a yes (`Standing.revoked` is then None).

Rules:
- a CRL counts until its nextUpdate; what it revokes stays revoked after that date;
- a CRL that covers only a part of the certificates (any critical extension: delta, partition) is refused;
- an OCSP answer counts until its nextUpdate, or one hour where it gives none; it lives in memory only.

RFC 5280 §5, RFC 6960 §3.2 and §4.2.2.2; spec trust-space §2 (ECO.1.1.6, CONF.22: the last unexpired CRL is kept).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from vaguemestre.errors import VaguemestreError
from vaguemestre.trust import certificates
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.safekeeping import keep

MAX_CRL_BYTES = 32 << 20
MAX_OCSP_BYTES = 64 << 10
_SKEW = timedelta(minutes=5)  # an authority's clock may run ahead of ours by this much
_OCSP_LIFE = timedelta(hours=1)
_MOST_ANSWERS = 4096
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class RevocationListError(VaguemestreError):
    """A CRL or an OCSP answer that cannot be relied on. `rule` is the stable identifier of the reason."""

    def __init__(self, rule: str, en: str, fr: str) -> None:
        super().__init__(en, fr)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of one certificate: revoked (True), good until `until` (False), or unknown (None)."""

    revoked: bool | None
    until: datetime
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class RevocationList:
    """A CRL whose signature was checked. Times are aware UTC; `serials` are the certificates taken back."""

    issuer: x509.Certificate
    this_update: datetime
    next_update: datetime
    serials: dict[int, datetime]
    der: bytes


class RevocationStore:
    """The CRLs of the configured authorities, kept in `folder` (None: in memory only), and OCSP answers."""

    def __init__(self, authorities: Authorities, folder: Path | None = None) -> None:
        self._authorities = authorities
        self._folder = folder
        self._lists: dict[bytes, RevocationList] = {}
        self._answers: dict[tuple[bytes, int], Standing] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in sorted(folder.glob("*.crl")):
                self._recall(path)

    @property
    def lists(self) -> tuple[RevocationList, ...]:
        """The CRLs held, current or not."""
        return tuple(self._lists.values())

    def add_crl(self, data: bytes, at: datetime) -> RevocationList | None:
        """Take a CRL (DER or PEM) and keep it; None when it is the one already held.

        Raises RevocationListError, OSError.
        """
        found = _checked(data, self._authorities)
        if found.next_update <= at:
            raise RevocationListError(
                "crl-expired",
                f"The CRL of {_name(found)} was due for renewal on {found.next_update:%Y-%m-%d %H:%M} UTC; "
                "ask the authority for a current one.",
                f"La liste de révocation de {_name(found)} devait être renouvelée le "
                f"{found.next_update:%d/%m/%Y à %H:%M} UTC ; demandez-en une à jour à l'autorité.",
            )
        if found.this_update > at + _SKEW:
            raise RevocationListError(
                "crl-from-the-future",
                f"The CRL of {_name(found)} is dated {found.this_update:%Y-%m-%d %H:%M} UTC; check this "
                "machine's clock.",
                f"La liste de révocation de {_name(found)} est datée du {found.this_update:%d/%m/%Y à %H:%M} UTC ; "
                "vérifiez l'horloge de cette machine.",
            )
        held = self._lists.get(_key(found.issuer))
        if held is not None and held.der == found.der:
            return None
        if held is not None and found.this_update < held.this_update:
            raise RevocationListError(
                "crl-older",
                f"The CRL of {_name(found)} is older than the one held, which stays in force.",
                f"La liste de révocation de {_name(found)} est plus ancienne que celle déjà détenue, qui reste "
                "en vigueur.",
            )
        if self._folder is not None:
            keep(self._folder / f"{certificates.fingerprint(found.issuer)}.crl", found.der)
        self._lists[_key(found.issuer)] = found
        return found

    def add_ocsp(self, data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Standing:
        """Take an OCSP answer about `certificate` and keep it while it counts. Raises RevocationListError."""
        standing = _ocsp_standing(data, certificate, issuer, at)
        if len(self._answers) >= _MOST_ANSWERS:
            self._answers.clear()
        self._answers[_key(issuer), certificate.serial_number] = standing
        return standing

    def standing(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Standing:
        """What is known of `certificate` at that time."""
        serial = certificate.serial_number
        held = self._lists.get(_key(issuer))
        if held is not None and serial in held.serials:
            return Standing(True, held.next_update, held.serials[serial])
        if held is not None and held.this_update - _SKEW <= at < held.next_update:
            return Standing(False, held.next_update)
        answer = self._answers.get((_key(issuer), serial))
        if answer is not None and (answer.revoked or at < answer.until):
            return answer
        return Standing(None, _EPOCH)

    def _recall(self, path: Path) -> None:
        try:
            found = _checked(path.read_bytes(), self._authorities)
        except (RevocationListError, OSError):
            return  # a damaged file, or one of an authority no longer configured: it is fetched again
        self._lists[_key(found.issuer)] = found


def ocsp_request(certificate: x509.Certificate, issuer: x509.Certificate) -> bytes:
    """The DER request that asks an OCSP responder about `certificate` (RFC 6960 §4.1)."""
    # SHA-1 only finds the issuer by its name and key; responders know no other. It protects nothing.
    builder = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1())  # noqa: S303
    return builder.build().public_bytes(Encoding.DER)


def _checked(data: bytes, authorities: Authorities) -> RevocationList:
    """A CRL of a configured authority, its signature verified; dates are the caller's."""
    crl, this_update, next_update = _read(data)
    issuer = next((ca for ca in authorities.named(crl.issuer) if _signed_by(crl, ca)), None)
    if issuer is None:
        raise RevocationListError(
            "crl-untrusted",
            f"The CRL of “{crl.issuer.rfc4514_string()}” is not signed by a configured authority; check its address.",
            f"La liste de révocation de « {crl.issuer.rfc4514_string()} » n'est pas signée par une autorité "
            "configurée ; "
            "vérifiez son adresse.",
        )
    if any(item.critical for item in crl.extensions):
        raise RevocationListError(
            "crl-partial",
            f"The CRL of “{crl.issuer.rfc4514_string()}” covers only a part of the certificates; configure the "
            "full one.",
            f"La liste de révocation de « {crl.issuer.rfc4514_string()} » ne couvre qu'une partie des certificats ; "
            "configurez la liste complète.",
        )
    serials = {revoked.serial_number: revoked.revocation_date_utc for revoked in crl}
    return RevocationList(issuer, this_update, next_update, serials, crl.public_bytes(Encoding.DER))


def _read(data: bytes) -> tuple[x509.CertificateRevocationList, datetime, datetime]:
    try:
        if len(data) > MAX_CRL_BYTES:
            raise ValueError("too long")
        pem = re.match(rb"\s*-----BEGIN", data)
        crl = x509.load_pem_x509_crl(data) if pem else x509.load_der_x509_crl(data)
        if crl.next_update_utc is None or not isinstance(crl.signature_hash_algorithm, _DIGESTS):
            raise ValueError("no nextUpdate, or a weak signature")
        _ = crl.extensions
    except certificates.UNREADABLE as error:
        raise RevocationListError(
            "crl-unreadable",
            "What was received is not a usable CRL; check its address.",
            "Ce qui a été reçu n'est pas une liste de révocation utilisable ; vérifiez son adresse.",
        ) from error
    return crl, crl.last_update_utc, crl.next_update_utc


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    usage = certificates.extension(issuer, x509.KeyUsage)
    key = issuer.public_key()
    if (usage is not None and not usage.crl_sign) or not isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
        return False
    try:
        return crl.is_signature_valid(key)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False


def _ocsp_standing(data: bytes, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> Standing:
    try:
        if len(data) > MAX_OCSP_BYTES:
            raise ValueError("too long")
        response = ocsp.load_der_ocsp_response(data)
        if response.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise ValueError("the responder gave no answer")
        _verify_responder(response, issuer, at)
        return _answer(response, certificate, issuer, at)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as error:
        raise RevocationListError(
            "ocsp-refused",
            f"The OCSP answer about {certificates.subject_text(certificate)} cannot be relied on "
            f"({error or 'signature'}); "
            "it will be asked again.",
            f"La réponse OCSP sur {certificates.subject_text(certificate)} n'est pas fiable ({error or 'signature'}) ; "
            "elle sera demandée de nouveau.",
        ) from error


def _verify_responder(response: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> None:
    """Refuse an answer signed neither by the issuer nor by a responder it appointed (RFC 6960 §4.2.2.2)."""
    signer = issuer
    for candidate in response.certificates:
        purposes = certificates.extension(candidate, x509.ExtendedKeyUsage)
        if purposes is not None and ExtendedKeyUsageOID.OCSP_SIGNING in purposes:
            candidate.verify_directly_issued_by(issuer)
            if not candidate.not_valid_before_utc <= at <= candidate.not_valid_after_utc:
                raise ValueError("the responder's certificate is out of its dates")
            signer = candidate
            break
    key, digest = signer.public_key(), response.signature_hash_algorithm
    if not isinstance(digest, _DIGESTS):
        raise ValueError("weak signature")
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(response.signature, response.tbs_response_bytes, padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePublicKey):
        key.verify(response.signature, response.tbs_response_bytes, ec.ECDSA(digest))
    else:
        raise ValueError("unknown kind of key")


def _answer(
    response: ocsp.OCSPResponse, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime
) -> Standing:
    for single in response.responses:
        asked = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, single.hash_algorithm).build()
        same_issuer = (single.issuer_name_hash, single.issuer_key_hash) == (
            asked.issuer_name_hash,
            asked.issuer_key_hash,
        )
        if single.serial_number != certificate.serial_number or not same_issuer:
            continue
        until = single.next_update_utc or single.this_update_utc + _OCSP_LIFE
        if not single.this_update_utc - _SKEW <= at < until:
            raise ValueError("out of date")
        if single.certificate_status is ocsp.OCSPCertStatus.UNKNOWN:
            raise ValueError("the responder does not know the certificate")
        revoked = single.certificate_status is ocsp.OCSPCertStatus.REVOKED
        return Standing(revoked, until, single.revocation_time_utc if revoked else None)
    raise ValueError("it is about another certificate")


def _key(certificate: x509.Certificate) -> bytes:
    return certificate.fingerprint(hashes.SHA256())


def _name(found: RevocationList) -> str:
    return certificates.subject_text(found.issuer)
