"""The allow-list's signature: who signed it, and exactly which bytes.

Kept true: what `verify` returns was signed, whole, by a certificate that chains to a configured authority, was valid at
the given time, and bears the expected common name. Callers read `SignedContent.content` and never the file again: an
attacker who wraps, moves or doubles the signed part then gains nothing.

Rules: one enveloped signature, last child of the root; one reference, URI="", to the whole document; the transforms
enveloped-signature then exclusive canonicalisation; RSA with SHA-256; every other form is refused, even if sound.
The certificate comes from KeyInfo (the official list gives only the leaf), so only its chain and name make it trusted.

XML Signature 1.1 §4 and §8; spec trust-space §1 "Signature" and "Signer".
"""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from vaguemestre.trust import certificates
from vaguemestre.trust.allowlist import AllowListError, malformed, parser, refuse_unsafe
from vaguemestre.trust.certificates import Authorities, CertificateError, Chain

_DS = "http://www.w3.org/2000/09/xmldsig#"
_C14N = "http://www.w3.org/2001/10/xml-exc-c14n#"
_RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
_SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
_ENVELOPED = _DS + "enveloped-signature"
_MOST_CERTIFICATES = 4


class MissingSignatureError(AllowListError):
    """The list is not signed."""

    rule = "list-not-signed"


class MisplacedSignatureError(AllowListError):
    """The signature is not of the one form accepted: elsewhere, doubled, other algorithms or other references."""

    rule = "list-signature-form"


class UntrustedSignerError(AllowListError):
    """The signer's certificate leads to no configured authority, or may not sign."""

    rule = "list-signer-untrusted"


class ExpiredSignerError(AllowListError):
    """The signer's certificate is not valid at that time."""

    rule = "list-signer-expired"


class WrongSignerError(AllowListError):
    """The signer is known to the authority but is not the one expected."""

    rule = "list-signer-unexpected"


class AlteredListError(AllowListError):
    """The content is not what was signed."""

    rule = "list-altered"


@dataclass(frozen=True, slots=True)
class SignedContent:
    """`content`: the canonical bytes that were signed; `chain`: the signer's, leaf first."""

    content: bytes
    chain: Chain


def verify(data: bytes, authorities: Authorities, signer_cn: str, at: datetime) -> SignedContent:
    """Check the enveloped signature of a list at a time.

    Raises UnsafeListError, MalformedListError, MissingSignatureError, MisplacedSignatureError, UntrustedSignerError,
    ExpiredSignerError, WrongSignerError, AlteredListError.
    """
    refuse_unsafe(data)
    chain = _signer(_embedded_certificates(data), authorities, signer_cn, at)
    expected = SignatureConfiguration(
        location="./",
        expect_references=1,
        signature_methods=frozenset({SignatureMethod.RSA_SHA256}),
        digest_algorithms=frozenset({DigestAlgorithm.SHA256}),
        verification_time=at,
    )
    try:
        # The certificate given here replaces KeyInfo: signxml checks with the very key whose chain was just checked.
        result = XMLVerifier().verify(data, x509_cert=chain.leaf, expect_config=expected, parser=parser())
    except (SignXMLException, etree.LxmlError, ValueError, TypeError) as error:
        raise AlteredListError(
            "The allow-list was altered after it was signed: it is refused, and the former one stays in force; "
            "fetch it "
            "again, then warn its publisher.",
            "La liste blanche a été modifiée après sa signature : elle est refusée et la précédente reste en vigueur ; "
            "récupérez-la de nouveau, puis prévenez son éditeur.",
        ) from error
    if not isinstance(result, VerifyResult):
        raise _misplaced("it must have one reference")
    return SignedContent(result.signed_data, chain)


def sign(data: bytes, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> bytes:
    """The list with an enveloped signature of the official form; a former signature is replaced.

    Raises UnsafeListError, MalformedListError.
    """
    root = _tree(data)
    for former in root.findall(f"{{{_DS}}}Signature"):
        root.remove(former)
    signer = XMLSigner(
        signature_algorithm=SignatureMethod.RSA_SHA256,
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0,
    )
    signer.namespaces = {None: _DS}  # type: ignore[dict-item] # no prefix, as in the official list
    signed: bytes = etree.tostring(
        signer.sign(root, key=key, cert=[certificate]), xml_declaration=True, encoding="UTF-8"
    )
    return signed


def _tree(data: bytes) -> etree._Element:
    refuse_unsafe(data)
    try:
        return etree.fromstring(data, parser())
    except etree.XMLSyntaxError as error:
        raise malformed(f"XML: {error.msg}") from error


def _embedded_certificates(data: bytes) -> list[x509.Certificate]:
    """The certificates of KeyInfo, after refusing every signature that is not of the one form accepted."""
    root = _tree(data)
    found = list(root.iter(f"{{{_DS}}}Signature"))
    if not found:
        raise MissingSignatureError(
            "The allow-list is not signed: it is refused; fetch the signed one from its publisher.",
            "La liste blanche n'est pas signée : elle est refusée ; récupérez la version signée chez son éditeur.",
        )
    if len(found) > 1 or found[0].getparent() is not root or root[-1] is not found[0]:
        raise _misplaced("it must be single, and the last child of the document")
    signature = found[0]
    if sum(1 for _ in root.iter(f"{{{_DS}}}*")) != sum(1 for _ in signature.iter(f"{{{_DS}}}*")):
        raise _misplaced("signature elements stand outside it")
    _refuse_other_forms(signature)
    return _certificates(signature)


def _refuse_other_forms(signature: etree._Element) -> None:
    info, _, key_info = _only(signature, "SignedInfo", "SignatureValue", "KeyInfo")
    method, algorithm, reference = _only(info, "CanonicalizationMethod", "SignatureMethod", "Reference")
    transforms, digest, _ = _only(reference, "Transforms", "DigestMethod", "DigestValue")
    steps = _only(transforms, "Transform", "Transform")
    written = [element.get("Algorithm") for element in (method, algorithm, digest, *steps)]
    if written != [_C14N, _RSA_SHA256, _SHA256, _ENVELOPED, _C14N]:
        raise _misplaced("its algorithms are not those of the official list")
    if any(len(element) for element in (method, algorithm, digest, *steps)):
        raise _misplaced("its algorithms have parameters")
    if reference.get("URI") != "":
        raise _misplaced("it does not cover the whole document")
    _only(key_info, "X509Data")


def _only(parent: etree._Element, *tags: str) -> list[etree._Element]:
    """The children of `parent`, which must be exactly these elements of the signature's namespace, in order."""
    children = list(parent)
    if [child.tag for child in children] != [f"{{{_DS}}}{tag}" for tag in tags]:
        raise _misplaced(f"{etree.QName(parent).localname} must hold {', '.join(tags)}")
    return children


def _certificates(signature: etree._Element) -> list[x509.Certificate]:
    elements = list(signature[2][0])
    tag = f"{{{_DS}}}X509Certificate"
    if not 1 <= len(elements) <= _MOST_CERTIFICATES or any(element.tag != tag for element in elements):
        raise _misplaced("KeyInfo must hold the signer's certificate")
    try:
        # The official list's base64 carries carriage returns; anything else outside the alphabet is refused.
        raw = ["".join((element.text or "").split()) for element in elements]
        return [certificates.load(base64.b64decode(text, validate=True)) for text in raw]
    except (binascii.Error, ValueError, CertificateError) as error:
        raise _misplaced("the signer's certificate cannot be read") from error


def _signer(found: list[x509.Certificate], authorities: Authorities, signer_cn: str, at: datetime) -> Chain:
    """The chain of the expected signer at that time."""
    try:
        chain = certificates.build_chain(found[0], found[1:], authorities)
        certificates.refuse_as_signer(found[0])
    except CertificateError as error:
        raise UntrustedSignerError(
            f"The allow-list is signed by someone unknown: it is refused. {error.en}",
            f"La liste blanche est signée par un inconnu : elle est refusée. {error.fr}",
        ) from error
    held = [item.value for item in found[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)]
    if held != [signer_cn]:
        shown = ", ".join(str(value) for value in held)
        raise WrongSignerError(
            f"The allow-list is signed by “{shown}” where “{signer_cn}” is expected: it is refused; "
            "if the publisher changed its certificate, change the expected name in the configuration.",
            f"La liste blanche est signée par « {shown} » au lieu de « {signer_cn} » : elle est refusée ; "
            "si l'éditeur a changé de certificat, changez le nom attendu dans la configuration.",
        )
    try:
        chain.refuse_dates(at)
    except CertificateError as error:
        raise ExpiredSignerError(
            f"The allow-list's signer is not valid at this time: the list is refused. {error.en}",
            "Le certificat du signataire de la liste blanche n'est pas valable à cette date : elle est "
            f"refusée. {error.fr}",
        ) from error
    return chain


def _misplaced(detail: str) -> MisplacedSignatureError:
    return MisplacedSignatureError(
        f"The allow-list's signature is not of the official form ({detail}): the list is refused; fetch it again, then "
        "warn its publisher.",
        f"La signature de la liste blanche n'a pas la forme officielle ({detail}) : elle est refusée ; récupérez-la de "
        "nouveau, puis prévenez son éditeur.",
    )
