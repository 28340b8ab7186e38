"""The one decision: yes only when every rule says so, and every no explains itself."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vaguemestre.trust import admission, allowlist, names
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential
from vaguemestre.trust.trusted_set import TrustedSet

DAY = timedelta(days=1)
AUDIT = "espacedeconfiance.mssante.fr"
LISTED_AUDIT = "CN={}-audit.espacedeconfiance.mssante.fr,OU=347976684200724,O=CAPGEMINI,ST=Hauts-de-Seine (92),C=FR"


def _explained(decision: Admission, rule: str, *, temporary: bool = False) -> Admission:
    assert decision.rule == rule
    assert decision.allowed is (rule == "allowed")
    assert decision.temporary is temporary
    assert decision.fr != decision.en
    assert decision.fr.endswith(".")
    assert decision.en.endswith(".")
    return decision


def _set(authority: Authority, entries: list[allowlist.Entry], at: datetime) -> TrustedSet:
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    for crl in authority.crls:
        trusted.add_crl(crl, at)
    trusted.load(authority.sign(allowlist.render(entries, at)), at)
    return trusted


def test_a_listed_operator_is_admitted_for_its_domain(
    trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    decision = _explained(admission.decide(trusted, [operator_a.der], "a.mssante.fr", at), "allowed")
    facts = decision.evidence.facts()
    assert facts["subject"].startswith("CN=mail.a.test,")
    assert facts["serial"] == f"{operator_a.certificate.serial_number:x}"
    assert len(facts["sha256"]) == 64
    assert facts["domain"] == "a.mssante.fr"
    assert facts["list_generated"] == at.isoformat()
    assert "IGC-SANTE" in facts["issuer"]
    assert admission.decide(trusted, [operator_a.der], "A.MSSANTE.fr", at).allowed


def test_the_ans_probes_are_refused_and_the_control_admitted(
    authority: Authority, other_authority: Authority, at: datetime
) -> None:
    """Spec trust-space §1: expired, revoked, another authority, not listed, listed under another name; and control."""

    def issued(probe: str, by: Authority = authority, *, cn: str = "", ago: timedelta = DAY) -> Credential:
        name = names.parse(LISTED_AUDIT.format(cn or probe))
        return by.issue(name, [f"{probe}-audit.{AUDIT}"], (at - ago, at - ago + 30 * DAY))

    probes = ["cert-valide", "cert-expire", "cert-revoque", "cert-non-igc", "cert-no-match", "cert-cn-diff-dn"]
    listed = [allowlist.entry(f"{probe}-audit.{AUDIT}", LISTED_AUDIT.format(probe)) for probe in probes]
    revoked = issued("cert-revoque")
    authority.revoke(revoked.certificate, at)
    authority.publish_crls(at)
    trusted = _set(authority, listed, at)
    for probe, credential, rule in (
        ("cert-valide", issued("cert-valide"), "allowed"),
        ("cert-expire", issued("cert-expire", ago=60 * DAY), "certificate-expired"),
        ("cert-expire", issued("cert-expire", ago=-DAY), "certificate-not-yet-valid"),
        ("cert-revoque", revoked, "certificate-revoked"),
        ("cert-non-igc", issued("cert-non-igc", other_authority), "unknown-authority"),
        ("cert-no-match", issued("cert-no-match", cn="inconnu"), "name-not-listed"),
        ("cert-cn-diff-dn", issued("cert-cn-diff-dn", cn="cert-valide"), "name-listed-for-other-domain"),
    ):
        for chain in ([credential.der], [credential.der, authority.issuing.der, authority.root.der]):
            _explained(admission.decide(trusted, chain, f"{probe}-audit.{AUDIT}", at), rule)


def test_without_a_certificate_nobody_is_admitted(trusted: TrustedSet, at: datetime) -> None:
    decision = _explained(admission.decide(trusted, [], "a.mssante.fr", at), "no-certificate")
    assert decision.evidence.facts() == {"domain": "a.mssante.fr", "list_generated": at.isoformat()}


def test_an_operator_cannot_speak_for_another_s_domain(
    trusted: TrustedSet, operator_a: Credential, operator_b: Credential, at: datetime
) -> None:
    refused = admission.decide(trusted, [operator_a.der], "b.mssante.fr", at)
    _explained(refused, "name-listed-for-other-domain")
    assert "a.mssante.fr" in refused.fr
    assert "b.mssante.fr" in refused.fr
    _explained(admission.decide(trusted, [operator_a.der], "gmail.com", at), "domain-not-listed")
    _explained(admission.decide(trusted, [operator_a.der], "sub.a.mssante.fr", at), "domain-not-listed")
    _explained(admission.decide(trusted, [operator_a.der], "mssante.fr", at), "domain-not-listed")
    _explained(admission.decide(trusted, [operator_a.der], "", at), "domain-not-listed")
    for domain in ("b.mssante.fr", "shared.example.org"):
        _explained(admission.decide(trusted, [operator_b.der], domain, at), "allowed")


def test_without_a_domain_the_question_is_whether_it_is_listed_at_all(
    authority: Authority, trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    _explained(admission.decide(trusted, [operator_a.der], None, at), "allowed")
    stranger = authority.issue(names.parse("CN=x,OU=1,O=X,C=FR"), ["x"], (at - DAY, at + DAY))
    _explained(admission.decide(trusted, [stranger.der], None, at), "name-not-listed")


def test_the_name_counts_and_not_the_alternative_names(authority: Authority, trusted: TrustedSet, at: datetime) -> None:
    posing = authority.issue(names.parse("CN=x,C=FR"), ["mail.a.test", "a.mssante.fr"], (at - DAY, at + DAY))
    _explained(admission.decide(trusted, [posing.der], "a.mssante.fr", at), "name-not-listed")


def test_a_list_signer_or_an_authority_is_no_operator(trusted: TrustedSet, authority: Authority, at: datetime) -> None:
    for credential in (authority.signer, authority.issuing):
        _explained(admission.decide(trusted, [credential.der], "a.mssante.fr", at), "certificate-unsuitable")


def test_no_list_or_one_past_its_grace_refuses_everybody_for_now(
    authority: Authority, trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    chain = [operator_a.der]
    without = TrustedSet(authority.authorities, SIGNER_CN)
    for crl in authority.publish_crls(at, at + 60 * DAY):
        without.add_crl(crl, at)
        trusted.add_crl(crl, at)
    for found, moment in ((without, at), (trusted, at + 7 * DAY), (trusted, at + 30 * DAY)):
        _explained(admission.decide(found, chain, "a.mssante.fr", moment), "no-current-list", temporary=True)
        _explained(admission.decide(found, chain, None, moment), "no-current-list", temporary=True)
        _explained(admission.domain_listed(found, "a.mssante.fr", moment), "no-current-list", temporary=True)
    assert admission.decide(trusted, chain, "a.mssante.fr", at).allowed


def test_a_kept_yes_ends_with_the_grace_the_crl_and_the_certificate(
    authority: Authority, operator_a: Credential, entries: list[allowlist.Entry], at: datetime
) -> None:
    chain, ends = [operator_a.der], operator_a.certificate.not_valid_after_utc
    for crl_days, grace_days, expected in ((1, 500, "revocation-unknown"), (500, 1, "no-current-list")):
        trusted = TrustedSet(authority.authorities, SIGNER_CN, grace=grace_days * DAY)
        for crl in authority.publish_crls(at, at + crl_days * DAY):
            trusted.add_crl(crl, at)
        trusted.load(authority.sign(allowlist.render(entries, at)), at)
        assert admission.decide(trusted, chain, "a.mssante.fr", at).allowed
        second = timedelta(seconds=1)
        assert admission.decide(trusted, chain, "a.mssante.fr", at + DAY - second).allowed
        _explained(admission.decide(trusted, chain, "a.mssante.fr", at + DAY), expected, temporary=True)
    lasting = TrustedSet(authority.authorities, SIGNER_CN, grace=500 * DAY)
    for crl in authority.publish_crls(at, at + 500 * DAY):
        lasting.add_crl(crl, at)
    lasting.load(authority.sign(allowlist.render(entries, at)), at)
    assert admission.decide(lasting, chain, "a.mssante.fr", ends).allowed
    _explained(admission.decide(lasting, chain, "a.mssante.fr", ends + second), "certificate-expired")
    assert admission.decide(lasting, chain, "a.mssante.fr", at).allowed


def test_a_new_crl_and_a_new_list_end_a_kept_yes(
    authority: Authority,
    trusted: TrustedSet,
    operator_a: Credential,
    operator_b: Credential,
    entries: list[allowlist.Entry],
    at: datetime,
) -> None:
    assert admission.decide(trusted, [operator_a.der], "a.mssante.fr", at).allowed
    assert admission.decide(trusted, [operator_b.der], "b.mssante.fr", at).allowed
    authority.revoke(operator_a.certificate, at)
    trusted.add_crl(authority.publish_crls(at)[1], at)
    _explained(admission.decide(trusted, [operator_a.der], "a.mssante.fr", at), "certificate-revoked")
    trusted.load(authority.sign(allowlist.render([entries[0], entries[2]], at + DAY)), at + DAY)
    _explained(admission.decide(trusted, [operator_b.der], "b.mssante.fr", at + DAY), "domain-not-listed")


def test_unknown_revocation_refuses_for_now(
    authority: Authority, operator_a: Credential, entries: list[allowlist.Entry], at: datetime
) -> None:
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    trusted.load(authority.sign(allowlist.render(entries, at)), at)
    for crl, missing in ((authority.crls[1], "ORGANISATIONS"), (authority.crls[0], "RACINE")):
        refused = admission.decide(trusted, [operator_a.der], "a.mssante.fr", at)
        _explained(refused, "revocation-unknown", temporary=True)
        assert missing in refused.fr
        trusted.add_crl(crl, at)
    assert admission.decide(trusted, [operator_a.der], "a.mssante.fr", at).allowed


def test_a_revoked_issuing_authority_ends_its_certificates(
    authority: Authority, trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    assert admission.decide(trusted, [operator_a.der], "a.mssante.fr", at).allowed
    authority.revoke(authority.issuing.certificate, at)
    trusted.add_crl(authority.publish_crls(at)[0], at)
    _explained(admission.decide(trusted, [operator_a.der], "a.mssante.fr", at), "certificate-revoked")


def test_a_chain_sent_incomplete_does_not_spoil_it_sent_whole(
    authority: Authority, operator_a: Credential, entries: list[allowlist.Entry], at: datetime
) -> None:
    trusted = TrustedSet(Authorities((authority.root.certificate,)), SIGNER_CN)
    short, whole = [operator_a.der], [operator_a.der, authority.issuing.der]
    _explained(admission.decide(trusted, short, "a.mssante.fr", at), "unknown-authority")
    # The issuing authority is not configured, so nothing is known of its revocations: it got one step further.
    trusted.add_crl(authority.crls[0], at)
    _explained(admission.decide(trusted, whole, "a.mssante.fr", at), "revocation-unknown", temporary=True)
    _explained(admission.decide(trusted, short, "a.mssante.fr", at), "unknown-authority")


def test_a_wrong_clock_never_admits(trusted: TrustedSet, operator_a: Credential, at: datetime) -> None:
    for moment in (datetime(1970, 1, 1, tzinfo=UTC), at - 3 * DAY, at + 8 * DAY, datetime(2099, 1, 1, tzinfo=UTC)):
        assert not admission.decide(trusted, [operator_a.der], "a.mssante.fr", moment).allowed
        assert not admission.domain_listed(trusted, "a.mssante.fr", moment).allowed


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.binary(max_size=200), max_size=4), st.one_of(st.none(), st.text(max_size=40)))
def test_whatever_a_peer_sends_is_refused_without_an_exception(
    trusted: TrustedSet, at: datetime, chain: list[bytes], domain: str | None
) -> None:
    assert not admission.decide(trusted, chain, domain, at).allowed


@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_an_altered_certificate_is_refused_without_an_exception(
    trusted: TrustedSet, operator_a: Credential, at: datetime, data: st.DataObject
) -> None:
    altered = bytearray(operator_a.der)
    altered[data.draw(st.integers(0, len(altered) - 1))] ^= data.draw(st.integers(1, 255))
    assert not admission.decide(trusted, [bytes(altered)], "a.mssante.fr", at).allowed


def test_a_certificate_with_a_name_of_an_unknown_kind_is_refused_without_an_exception(
    trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    name = operator_a.der.index(b"\x82\x09localhost")
    for kind in (0x83, 0x85, 0x8F):
        altered = operator_a.der[:name] + bytes([kind]) + operator_a.der[name + 1 :]
        assert not admission.decide(trusted, [altered], "a.mssante.fr", at).allowed


def test_a_certificate_of_an_unknown_version_is_refused_without_an_exception(
    trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    version = operator_a.der.index(bytes.fromhex("a003020102")) + 4
    for number in (0, 1, 3, 255):
        altered = operator_a.der[:version] + bytes([number]) + operator_a.der[version + 1 :]
        assert not admission.decide(trusted, [altered], "a.mssante.fr", at).allowed


def test_a_recipient_outside_the_space_is_told_what_to_do(trusted: TrustedSet, at: datetime) -> None:
    assert _explained(admission.domain_listed(trusted, "B.mssante.fr", at), "allowed")
    refused = _explained(admission.domain_listed(trusted, "gmail.com", at), "domain-not-listed")
    assert "gmail.com" in refused.fr
    assert "annuaire" in refused.fr
    assert not refused.temporary


def _microseconds(call: Callable[[], object]) -> float:
    best = 1.0
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(500):
            call()
        best = min(best, (time.perf_counter() - started) / 500)
    return best * 1e6


def test_a_kept_decision_takes_under_twenty_microseconds(
    trusted: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    chain = [operator_a.der]
    assert _microseconds(lambda: admission.decide(trusted, chain, "a.mssante.fr", at)) < 20
    fresh = bytearray(operator_a.der)
    assert _microseconds(lambda: admission.decide(trusted, [bytes(fresh)], "a.mssante.fr", at)) < 20
