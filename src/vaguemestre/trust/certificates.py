"""Certificates and the chains that tie them to the configured authorities.

Kept true: a `Chain` has been checked signature by signature, from its leaf to a configured authority, and each of its
issuers is entitled to issue; nothing the peer sends can become an authority. Dates and revocation depend on the moment
and are asked afterwards (`Chain.refuse_dates`, the revocation store), so that a chain can be kept and asked again.

Rules:
- every configured certificate is an anchor: configuring only the issuing authority pins the range of certificates;
  where its own issuer is configured too, the chain goes on up to it, and that authority can then be revoked as well;
- intermediates sent by the peer only help to reach a configured authority;
- RSA of 2048 bits or more, or an elliptic curve P-256, P-384 or P-521; SHA-2 signatures; no unknown critical extension.

RFC 5280 §6.1 (the parts that IGC-Santé uses: no name constraints, no policy mapping), spec trust-space §2 "PKI".
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID

from vaguemestre.errors import ConfigurationError, VaguemestreError

_TLS_USES = {
    ExtendedKeyUsageOID.CLIENT_AUTH,
    ExtendedKeyUsageOID.SERVER_AUTH,
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
}
_CLIENT_USES = _TLS_USES - {ExtendedKeyUsageOID.SERVER_AUTH}
_UNDERSTOOD = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.CERTIFICATE_POLICIES,
}
_DIGESTS = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
Extension = TypeVar("Extension", bound=x509.ExtensionType)

_MOST_PRESENTED = 4
_LONGEST = 6
_MOST_BYTES = 64 << 10


class CertificateError(VaguemestreError):
    """A certificate that may not be relied on. `rule` is the stable identifier of the reason."""

    def __init__(self, rule: str, en: str, fr: str) -> None:
        super().__init__(en, fr)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Authorities:
    """The configured authorities, the only ones trusted."""

    certificates: tuple[x509.Certificate, ...]

    def named(self, name: x509.Name) -> list[x509.Certificate]:
        """The authorities of that subject name (several while a key is being renewed)."""
        return [certificate for certificate in self.certificates if certificate.subject == name]

    def __contains__(self, certificate: x509.Certificate) -> bool:
        return certificate in self.certificates


@dataclass(frozen=True, slots=True)
class Chain:
    """A checked path, leaf first, configured authority last."""

    certificates: tuple[x509.Certificate, ...]

    @property
    def leaf(self) -> x509.Certificate:
        """The certificate the chain is about."""
        return self.certificates[0]

    @property
    def not_before(self) -> datetime:
        """When the last of its certificates became valid."""
        return max(certificate.not_valid_before_utc for certificate in self.certificates)

    @property
    def not_after(self) -> datetime:
        """When the first of its certificates stops being valid."""
        return min(certificate.not_valid_after_utc for certificate in self.certificates)

    def links(self) -> Iterable[tuple[x509.Certificate, x509.Certificate]]:
        """Each (certificate, its issuer)."""
        return zip(self.certificates, self.certificates[1:], strict=False)

    def refuse_dates(self, at: datetime) -> None:
        """Raise CertificateError (`certificate-expired`, `certificate-not-yet-valid`) where a date is not met."""
        for certificate in self.certificates:
            subject = subject_text(certificate)
            ends, begins = certificate.not_valid_after_utc, certificate.not_valid_before_utc
            if at > ends:
                raise CertificateError(
                    "certificate-expired",
                    f"The certificate {subject} expired on {ends:%Y-%m-%d %H:%M} UTC; its owner must renew it.",
                    f"Le certificat {subject} a expiré le {ends:%d/%m/%Y à %H:%M} UTC ; "
                    "son titulaire doit en installer un nouveau.",
                )
            if at < begins:
                raise CertificateError(
                    "certificate-not-yet-valid",
                    f"The certificate {subject} is only valid from {begins:%Y-%m-%d %H:%M} UTC; "
                    f"its owner must wait, and both sides check their clocks (here {at:%Y-%m-%d %H:%M}).",
                    f"Le certificat {subject} n'est valable qu'à partir du {begins:%d/%m/%Y à %H:%M} UTC ; son "
                    "titulaire "
                    f"doit attendre, et chacun vérifier son horloge (ici le {at:%d/%m/%Y à %H:%M}).",
                )


# What reading a certificate or a CRL of any bytes may raise: the library's own kinds have no common one.
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def load_authorities(data: bytes) -> Authorities:
    """The authorities of a PEM bundle, a DER certificate or a PKCS #7 chain. Raises ConfigurationError."""
    try:
        if b"-----BEGIN CERTIFICATE" in data:
            found = x509.load_pem_x509_certificates(data)
        elif b"-----BEGIN PKCS7" in data:
            found = pkcs7.load_pem_pkcs7_certificates(data)
        else:
            found = _binary(data)
    except (ValueError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            "The authority file cannot be read: give the certificates of the authorities in PEM, DER or PKCS #7.",
            "Le fichier des autorités est illisible : donnez leurs certificats au format PEM, DER ou PKCS #7.",
        ) from error
    for certificate in found:
        try:
            _refuse_issuer(certificate, 0)
        except CertificateError as error:
            raise ConfigurationError(error.en, error.fr) from error
    return Authorities(tuple(found))


def _binary(data: bytes) -> list[x509.Certificate]:
    try:
        return [x509.load_der_x509_certificate(data)]
    except (ValueError, x509.InvalidVersion):
        return pkcs7.load_der_pkcs7_certificates(data)


def load(der: bytes) -> x509.Certificate:
    """A DER certificate, its extensions read. Raises CertificateError (`certificate-unreadable`)."""
    try:
        if len(der) > _MOST_BYTES:
            raise ValueError("too long")
        certificate = x509.load_der_x509_certificate(der)
        # Names and extensions are parsed when first read: do it here, where a bad one has its answer.
        _ = certificate.extensions, certificate.subject, certificate.issuer
    except UNREADABLE as error:
        raise CertificateError(
            "certificate-unreadable",
            "The certificate cannot be read; its owner must have it issued again.",
            "Le certificat est illisible ; son titulaire doit le faire émettre de nouveau.",
        ) from error
    return certificate


def build_chain(leaf: x509.Certificate, presented: Sequence[x509.Certificate], authorities: Authorities) -> Chain:
    """The path from `leaf` to a configured authority, through `presented` where needed.

    Raises CertificateError (`unknown-authority`, `certificate-unsuitable`). Dates are not looked at.
    """
    _refuse_weak(leaf)
    path = _climb([leaf], list(presented)[:_MOST_PRESENTED], authorities)
    if path is None:
        issuer = leaf.issuer.rfc4514_string()
        raise CertificateError(
            "unknown-authority",
            f"The certificate {subject_text(leaf)} comes from “{issuer}”, which leads to no trusted authority; "
            "its owner must use a certificate of IGC-Santé and send it with its issuer.",
            f"Le certificat {subject_text(leaf)} vient de « {issuer} », qui ne mène à aucune autorité reconnue ; son "
            "titulaire doit utiliser un certificat de l'IGC-Santé et l'envoyer avec celui de son émetteur.",
        )
    return Chain(tuple(path))


def refuse_as_peer(leaf: x509.Certificate) -> None:
    """Raise CertificateError (`certificate-unsuitable`) unless the certificate may identify a mail server."""
    constraints = extension(leaf, x509.BasicConstraints)
    if constraints is not None and constraints.ca:
        raise _unsuitable(leaf, "it is an authority's", "c'est celui d'une autorité")
    usage = extension(leaf, x509.KeyUsage)
    if usage is not None and not usage.digital_signature:
        raise _unsuitable(leaf, "its key may not sign", "sa clé ne peut pas signer")
    purposes = extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not _TLS_USES.intersection(purposes):
        raise _unsuitable(leaf, "it is not for servers", "il n'est pas destiné aux serveurs")


def refuse_as_client(leaf: x509.Certificate) -> None:
    """Raise CertificateError (`certificate-unsuitable`) unless the certificate may identify a client (AUTH_CLI)."""
    refuse_as_peer(leaf)
    purposes = extension(leaf, x509.ExtendedKeyUsage)
    if purposes is not None and not _CLIENT_USES.intersection(purposes):
        raise _unsuitable(leaf, "it is not for clients", "il n'est pas destiné aux clients")


def refuse_as_signer(leaf: x509.Certificate) -> None:
    """Raise CertificateError (`certificate-unsuitable`) unless the certificate may sign documents."""
    constraints = extension(leaf, x509.BasicConstraints)
    usage = extension(leaf, x509.KeyUsage)
    if (constraints is not None and constraints.ca) or usage is None or not usage.digital_signature:
        raise _unsuitable(leaf, "it may not sign documents", "il ne peut pas signer de documents")
    if not isinstance(leaf.public_key(), rsa.RSAPublicKey):
        raise _unsuitable(leaf, "the list's signature needs an RSA key", "la signature de la liste veut une clé RSA")


def extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension | None:
    """The certificate's extension of that type, or None."""
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def subject_text(certificate: x509.Certificate) -> str:
    """The subject for people, most specific first."""
    return certificate.subject.rfc4514_string()


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER certificate, in lower-case hexadecimal."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _climb(
    path: list[x509.Certificate], presented: list[x509.Certificate], authorities: Authorities
) -> list[x509.Certificate] | None:
    """`path` prolonged to a configured authority, or None."""
    last = path[-1]
    if len(path) > _LONGEST:
        return None
    self_issued = last.subject == last.issuer
    for issuer in authorities.named(last.issuer):
        if issuer not in path and _issued(last, issuer, len(path) - 1):
            return _climb([*path, issuer], [], authorities)
    if last in authorities and len(path) > 1:
        return path
    if self_issued:
        return None
    for issuer in presented:
        if issuer.subject == last.issuer and issuer not in path and _issued(last, issuer, len(path) - 1):
            rest = [other for other in presented if other is not issuer]
            found = _climb([*path, issuer], rest, authorities)
            if found is not None:
                return found
    return None


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, below: int) -> bool:
    """True when `issuer` may have issued `certificate`, and did; `below`: authorities between it and the leaf."""
    try:
        certificate.verify_directly_issued_by(issuer)
        _refuse_issuer(issuer, below)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, CertificateError):
        return False
    return True


def _refuse_issuer(issuer: x509.Certificate, below: int) -> None:
    _refuse_weak(issuer)
    constraints = extension(issuer, x509.BasicConstraints)
    usage = extension(issuer, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        raise _unsuitable(issuer, "it is not an authority's", "ce n'est pas celui d'une autorité")
    if constraints.path_length is not None and below > constraints.path_length:
        raise _unsuitable(issuer, "it may not head so long a chain", "il ne peut pas couvrir une chaîne aussi longue")


def _refuse_weak(certificate: x509.Certificate) -> None:
    try:
        key = certificate.public_key()
        digest = certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        raise _unsuitable(certificate, "its key is of an unknown kind", "sa clé est d'un type inconnu") from None
    strong_rsa = isinstance(key, rsa.RSAPublicKey) and key.key_size >= 2048
    strong_curve = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES)
    if not (strong_rsa or strong_curve):
        raise _unsuitable(
            certificate, "its key is too weak: RSA needs 2048 bits", "sa clé est trop faible : RSA demande 2048 bits"
        )
    if not isinstance(digest, _DIGESTS):
        raise _unsuitable(certificate, "its signature is not SHA-2", "sa signature n'est pas en SHA-2")
    for item in certificate.extensions:
        if item.critical and item.oid not in _UNDERSTOOD:
            oid = item.oid.dotted_string
            raise _unsuitable(certificate, f"it has the unknown critical extension {oid}", f"extension critique {oid}")


def _unsuitable(certificate: x509.Certificate, en: str, fr: str) -> CertificateError:
    subject = subject_text(certificate)
    return CertificateError(
        "certificate-unsuitable",
        f"The certificate {subject} cannot be used here: {en}; its owner must ask for one of the operators' profile.",
        f"Le certificat {subject} ne convient pas : {fr} ; son titulaire doit en demander un du profil des opérateurs.",
    )
