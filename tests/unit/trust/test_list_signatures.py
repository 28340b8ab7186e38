"""Only the one official form of signature, by the expected signer, over the whole list, is accepted."""

import re
import time
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree
from signxml.algorithms import CanonicalizationMethod, DigestAlgorithm, SignatureMethod
from signxml.signer import XMLSigner

from vaguemestre.trust import allowlist, names, signatures
from vaguemestre.trust.allowlist import AllowListError, MalformedListError, UnsafeListError
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.publisher import SIGNER_CN, SIGNER_NAME, Authority, Credential
from vaguemestre.trust.signatures import (
    AlteredListError,
    ExpiredSignerError,
    MisplacedSignatureError,
    MissingSignatureError,
    UntrustedSignerError,
    WrongSignerError,
)

DS = "http://www.w3.org/2000/09/xmldsig#"
DS_TAG = f"{{{DS}}}Signature"
LIST_TAG = f"{{{allowlist.NAMESPACE}}}"
EVIL = (
    f'<Domaine xmlns="{allowlist.NAMESPACE}"><Nom>evil.mssante.fr</Nom><Description>_</Description>'
    "<DNCertificatOperateur>CN=evil,C=FR</DNCertificatOperateur><ResponsableContact/><SupportContact/>"
    "<DateMAJ>2026-03-01T12:00:00Z</DateMAJ></Domaine>"
)


def _refused(data: bytes, authority: Authority, at: datetime) -> AllowListError:
    with pytest.raises(AllowListError) as refused:
        signatures.verify(data, authority.authorities, SIGNER_CN, at)
    assert refused.value.fr != refused.value.en
    return refused.value


def test_a_good_list_gives_back_what_was_signed(authority: Authority, signed: bytes, at: datetime) -> None:
    found = signatures.verify(signed, authority.authorities, SIGNER_CN, at)
    assert found.chain.leaf == authority.signer.certificate
    assert b"Signature" not in found.content
    assert allowlist.parse(found.content).names == allowlist.parse(signed).names


def test_the_signature_has_the_official_form(signed: bytes) -> None:
    root = etree.fromstring(signed)
    signature = root[-1]
    assert signature.tag == DS_TAG
    assert signature.prefix is None
    algorithms = [element.get("Algorithm") for element in signature[0].iter() if element.get("Algorithm")]
    assert algorithms == [
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
        "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
        "http://www.w3.org/2001/10/xml-exc-c14n#",
        "http://www.w3.org/2001/04/xmlenc#sha256",
    ]
    assert [element.tag for element in signature[2].iter()][1:] == [f"{{{DS}}}X509Data", f"{{{DS}}}X509Certificate"]


def test_the_official_list_s_carriage_returns_are_read(authority: Authority, signed: bytes, at: datetime) -> None:
    def broken(match: "re.Match[bytes]") -> bytes:
        return match[1] + match[2].replace(b"\n", b"&#13;\n") + match[3]

    official = re.sub(rb"(?s)(<X509Certificate>)(.*?)(</X509Certificate>)", broken, signed)
    assert b"&#13;" in official
    signatures.verify(official, authority.authorities, SIGNER_CN, at)


def test_an_unsigned_list_is_refused(authority: Authority, entries: list[allowlist.Entry], at: datetime) -> None:
    error = _refused(allowlist.render(entries, at), authority, at)
    assert isinstance(error, MissingSignatureError)
    assert error.rule == "list-not-signed"


def test_another_authority_of_the_same_names_is_refused(
    authority: Authority, other_authority: Authority, signed: bytes, at: datetime
) -> None:
    assert isinstance(_refused(signed, other_authority, at), UntrustedSignerError)
    with pytest.raises(UntrustedSignerError):
        signatures.verify(signed, Authorities(()), SIGNER_CN, at)
    forged = authority.sign(signed, other_authority.signer)
    assert isinstance(_refused(forged, authority, at), UntrustedSignerError)


def test_another_signer_of_the_authority_is_refused(
    authority: Authority, operator_a: Credential, signed: bytes, at: datetime
) -> None:
    life = at - timedelta(days=1), at + timedelta(days=1)
    for dn in (SIGNER_NAME.replace("alb.", "alb2."), SIGNER_NAME.replace("alb.", "alb.mssante.test,CN=x.")):
        other = authority.issue_signer(names.parse(dn), life)
        assert isinstance(_refused(authority.sign(signed, other), authority, at), WrongSignerError)
    assert isinstance(_refused(authority.sign(signed, operator_a), authority, at), WrongSignerError)


def test_an_authority_s_own_certificate_is_no_signer(authority: Authority, signed: bytes, at: datetime) -> None:
    forged = authority.sign(signed, authority.issuing)
    assert isinstance(_refused(forged, authority, at), UntrustedSignerError)


def test_a_signer_out_of_its_dates_is_refused(authority: Authority, signed: bytes, at: datetime) -> None:
    assert isinstance(_refused(signed, authority, at + timedelta(days=5 * 365)), ExpiredSignerError)
    assert isinstance(_refused(signed, authority, at - timedelta(days=5 * 365)), ExpiredSignerError)
    late = authority.issue_signer(names.parse(SIGNER_NAME), (at + timedelta(days=1), at + timedelta(days=2)))
    assert isinstance(_refused(authority.sign(signed, late), authority, at), ExpiredSignerError)


@pytest.mark.parametrize(
    ("former", "new"),
    [
        (b"a.mssante.fr", b"e.mssante.fr"),
        (b"CN=mail.b.test", b"CN=mail.c.test"),
        (b"2026-03-01T12:00:00Z</DateDeG", b"2026-03-01T12:00:01Z</DateDeG"),
        (b"hors de mssante.fr", b"dans mssante.fr"),
        (b"</ListeDomaines>", EVIL.encode() + b"</ListeDomaines>"),
        (b"<ListeDomaines>", b"<ListeDomaines>" + EVIL.encode()),
        (b"</DateDeGeneration>", b"</DateDeGeneration> "),
        (b"<DigestValue>", b"<DigestValue>A"),
        (b"<SignatureValue>", b"<SignatureValue>A"),
        (b"<ListeDomaines>", b'<ListeDomaines Id="x">'),
    ],
)
def test_altered_content_is_refused(
    authority: Authority, signed: bytes, at: datetime, former: bytes, new: bytes
) -> None:
    assert former in signed
    assert isinstance(_refused(signed.replace(former, new, 1), authority, at), AlteredListError)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_changed_byte_is_refused_or_changes_nothing(
    authority: Authority, signed: bytes, at: datetime, data: st.DataObject
) -> None:
    original = signatures.verify(signed, authority.authorities, SIGNER_CN, at).content
    position = data.draw(st.integers(0, len(signed) - 1))
    altered = bytearray(signed)
    altered[position] ^= data.draw(st.integers(1, 255))
    try:
        found = signatures.verify(bytes(altered), authority.authorities, SIGNER_CN, at)
    except AllowListError:
        return
    assert found.content == original


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_flipped_byte_of_a_name_or_a_domain_is_refused(
    authority: Authority, signed: bytes, at: datetime, data: st.DataObject
) -> None:
    spans = [match.span(1) for match in re.finditer(rb"<(?:Nom|DNCertificatOperateur|DateMAJ)>([^<]+)<", signed)]
    begin, end = data.draw(st.sampled_from(spans))
    position = data.draw(st.integers(begin, end - 1))
    altered = bytearray(signed)
    altered[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AllowListError):
        signatures.verify(bytes(altered), authority.authorities, SIGNER_CN, at)


def test_a_comment_cannot_change_what_is_read(authority: Authority, signed: bytes, at: datetime) -> None:
    commented = signed.replace(b"b.mssante.fr", b"b.mssante.fr<!-- -->.evil.org", 1)
    assert isinstance(_refused(commented, authority, at), AlteredListError)
    split = signed.replace(b"b.mssante.fr", b"b.mss<!-- x -->ante.fr", 1)
    found = signatures.verify(split, authority.authorities, SIGNER_CN, at)
    assert "b.mssante.fr" in allowlist.parse(found.content).names


def _wrap_in_new_root(root: etree._Element) -> etree._Element:
    outer = etree.fromstring(f'<ListeBlancheMSSante xmlns="{allowlist.NAMESPACE}"/>')
    outer.append(
        etree.fromstring(f'<DateDeGeneration xmlns="{allowlist.NAMESPACE}">2026-03-02T00:00:00Z</DateDeGeneration>')
    )
    domains = etree.SubElement(outer, LIST_TAG + "ListeDomaines")
    domains.append(etree.fromstring(EVIL))
    outer.append(root)
    return outer


def _wrap_and_lift_signature(root: etree._Element) -> etree._Element:
    signature = root[-1]
    outer = _wrap_in_new_root(root)
    outer.append(signature)
    return outer


def _hide_original_in_object(root: etree._Element) -> etree._Element:
    signature = root[-1]
    original = etree.fromstring(etree.tostring(root))
    original.remove(original[-1])
    holder = etree.SubElement(signature, f"{{{DS}}}Object")
    holder.append(original)
    root[1].append(etree.fromstring(EVIL))
    return root


def _sign_a_part_only(root: etree._Element) -> etree._Element:
    root[-1].find(f".//{{{DS}}}Reference").set("URI", "#liste")
    root[1].set("Id", "liste")
    return root


def _signature_first(root: etree._Element) -> etree._Element:
    root.insert(0, root[-1])
    return root


def _signature_inside_a_domain(root: etree._Element) -> etree._Element:
    root[1][0].append(root[-1])
    return root


def _second_list_after(root: etree._Element) -> etree._Element:
    domains = etree.SubElement(root, LIST_TAG + "ListeDomaines")
    domains.append(etree.fromstring(EVIL))
    return root


def _two_signatures(root: etree._Element) -> etree._Element:
    root.append(etree.fromstring(etree.tostring(root[-1])))
    return root


def _nested_signature(root: etree._Element) -> etree._Element:
    root[-1].append(etree.fromstring(etree.tostring(root[-1])))
    return root


def _second_reference(root: etree._Element) -> etree._Element:
    reference = root[-1].find(f".//{{{DS}}}Reference")
    reference.addnext(etree.fromstring(etree.tostring(reference)))
    return root


def _external_reference(root: etree._Element) -> etree._Element:
    root[-1].find(f".//{{{DS}}}Reference").set("URI", "http://127.0.0.1:1/list")
    return root


def _no_reference_uri(root: etree._Element) -> etree._Element:
    del root[-1].find(f".//{{{DS}}}Reference").attrib["URI"]
    return root


def _xpath_transform(root: etree._Element) -> etree._Element:
    transforms = root[-1].find(f".//{{{DS}}}Transforms")
    transform = etree.SubElement(
        transforms, f"{{{DS}}}Transform", Algorithm="http://www.w3.org/TR/1999/REC-xpath-19991116"
    )
    etree.SubElement(transform, f"{{{DS}}}XPath").text = "false()"
    return root


def _prefixes(root: etree._Element) -> etree._Element:
    method = root[-1].find(f".//{{{DS}}}CanonicalizationMethod")
    etree.SubElement(method, "{http://www.w3.org/2001/10/xml-exc-c14n#}InclusiveNamespaces", PrefixList="x")
    return root


def _algorithm(tag: str, value: str) -> Callable[[etree._Element], etree._Element]:
    def change(root: etree._Element) -> etree._Element:
        root[-1].find(f".//{{{DS}}}{tag}").set("Algorithm", value)
        return root

    return change


def _key_value(root: etree._Element) -> etree._Element:
    root[-1][2].insert(0, etree.fromstring(f'<KeyValue xmlns="{DS}"/>'))
    return root


def _key_info(markup: str) -> Callable[[etree._Element], etree._Element]:
    def change(root: etree._Element) -> etree._Element:
        root[-1].replace(root[-1][2], etree.fromstring(f'<KeyInfo xmlns="{DS}">{markup}</KeyInfo>'))
        return root

    return change


def _stray_signed_info(root: etree._Element) -> etree._Element:
    root.insert(0, etree.fromstring(etree.tostring(root[-1][0])))
    return root


@pytest.mark.parametrize(
    "attack",
    [
        _wrap_in_new_root,
        _wrap_and_lift_signature,
        _hide_original_in_object,
        _sign_a_part_only,
        _signature_first,
        _signature_inside_a_domain,
        _second_list_after,
        _two_signatures,
        _nested_signature,
        _second_reference,
        _external_reference,
        _no_reference_uri,
        _xpath_transform,
        _prefixes,
        _stray_signed_info,
        _key_value,
        _key_info("<X509Data/>"),
        _key_info("<X509Data><X509Certificate>AAAA</X509Certificate></X509Data>"),
        _key_info("<X509Data><X509Certificate>***</X509Certificate></X509Data>"),
        _key_info("<X509Data><X509SubjectName>CN=alb.mssante.test</X509SubjectName></X509Data>"),
        _key_info("<KeyName>k</KeyName>"),
        _algorithm("SignatureMethod", "http://www.w3.org/2000/09/xmldsig#rsa-sha1"),
        _algorithm("SignatureMethod", "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"),
        _algorithm("DigestMethod", "http://www.w3.org/2000/09/xmldsig#sha1"),
        _algorithm("CanonicalizationMethod", "http://www.w3.org/TR/2001/REC-xml-c14n-20010315"),
        _algorithm("CanonicalizationMethod", "http://www.w3.org/2001/10/xml-exc-c14n#WithComments"),
        _algorithm("Transform", "http://www.w3.org/2000/09/xmldsig#base64"),
        _algorithm("Transform", "http://www.w3.org/TR/1999/REC-xslt-19991116"),
    ],
)
def test_wrapping_and_other_forms_are_refused(
    authority: Authority, signed: bytes, at: datetime, attack: Callable[[etree._Element], etree._Element]
) -> None:
    data = etree.tostring(attack(etree.fromstring(signed)), encoding="UTF-8", xml_declaration=True)
    assert isinstance(_refused(data, authority, at), MisplacedSignatureError | AlteredListError)


@pytest.mark.parametrize(
    ("method", "digest", "c14n"),
    [
        (SignatureMethod.RSA_SHA512, DigestAlgorithm.SHA256, CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0),
        (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA512, CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0),
        (SignatureMethod.RSA_SHA256, DigestAlgorithm.SHA256, CanonicalizationMethod.CANONICAL_XML_1_1),
    ],
)
def test_sound_signatures_of_other_algorithms_are_refused(
    authority: Authority,
    signed: bytes,
    at: datetime,
    method: SignatureMethod,
    digest: DigestAlgorithm,
    c14n: CanonicalizationMethod,
) -> None:
    root = etree.fromstring(signed)
    root.remove(root[-1])
    signer = XMLSigner(signature_algorithm=method, digest_algorithm=digest, c14n_algorithm=c14n)
    other = etree.tostring(signer.sign(root, key=authority.signer.key, cert=[authority.signer.certificate]))
    assert isinstance(_refused(other, authority, at), MisplacedSignatureError)


def test_a_sound_signature_over_a_part_only_is_refused(authority: Authority, signed: bytes, at: datetime) -> None:
    root = etree.fromstring(signed)
    root.remove(root[-1])
    root[1].set("Id", "liste")
    signer = XMLSigner(c14n_algorithm=CanonicalizationMethod.EXCLUSIVE_XML_CANONICALIZATION_1_0)
    cert = [authority.signer.certificate]
    part = etree.tostring(signer.sign(root, key=authority.signer.key, cert=cert, reference_uri="liste"))
    assert b'URI="#liste"' in part
    assert isinstance(_refused(part, authority, at), MisplacedSignatureError)


def test_dangerous_bytes_are_refused_before_the_signature_is_looked_at(
    authority: Authority, signed: bytes, at: datetime
) -> None:
    root = re.sub(rb"<\?xml.*?\?>", b"", signed)
    assert isinstance(_refused(b'<!DOCTYPE l [<!ENTITY a "b">]>' + root, authority, at), UnsafeListError)
    assert isinstance(_refused(signed[:-40], authority, at), MalformedListError)
    with pytest.raises(UnsafeListError):
        authority.sign(b"<!DOCTYPE l>" + root)


def test_signing_again_replaces_the_signature(authority: Authority, signed: bytes, at: datetime) -> None:
    again = authority.sign(signed)
    assert again.count(b"<Signature ") == 1
    signatures.verify(again, authority.authorities, SIGNER_CN, at)


def test_the_full_size_loads_under_a_second(authority: Authority, full_size: bytes, at: datetime) -> None:
    signed = authority.sign(full_size)
    best = 10.0
    for _ in range(3):
        started = time.process_time()
        allowlist.parse(signatures.verify(signed, authority.authorities, SIGNER_CN, at).content)
        best = min(best, time.process_time() - started)
    assert best < 1.0
