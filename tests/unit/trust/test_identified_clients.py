"""Whose certificate it is, for software that stands on no list: as strict as for operators, but for the list."""

from datetime import datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from vaguemestre.trust import admission, names, publisher
from vaguemestre.trust.admission import Identified
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential
from vaguemestre.trust.trusted_set import TrustedSet

DAY = timedelta(days=1)
ROBOT = names.parse("CN=labo.exemple.fr,OU=318751275100020,O=LABO,C=FR")


@pytest.fixture
def robot(authority: Authority, at: datetime) -> Credential:
    """A good certificate that is on no list."""
    return authority.issue(ROBOT, ["labo.exemple.fr"], (at - DAY, at + DAY))


def rule(found: Identified) -> str:
    assert found.admission.fr != found.admission.en
    assert (found.name is not None) == found.admission.allowed
    return found.admission.rule


def test_a_good_certificate_on_no_list_is_named(trusted: TrustedSet, robot: Credential, at: datetime) -> None:
    found = admission.identify(trusted, [robot.der], at)
    assert rule(found) == "allowed"
    assert found.name == ROBOT
    assert len(found.admission.evidence.sha256) == 64
    assert admission.decide(trusted, [robot.der], None, at).rule == "name-not-listed"


def test_without_any_list_software_is_still_named(authority: Authority, robot: Credential, at: datetime) -> None:
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    assert rule(admission.identify(trusted, [robot.der], at)) == "revocation-unknown"
    assert admission.identify(trusted, [robot.der], at).admission.temporary
    for crl in authority.crls:
        trusted.add_crl(crl, at)
    assert rule(admission.identify(trusted, [robot.der], at)) == "allowed"


def test_what_is_not_good_is_not_named(
    authority: Authority, other_authority: Authority, trusted: TrustedSet, robot: Credential, at: datetime
) -> None:
    assert rule(admission.identify(trusted, [], at)) == "no-certificate"
    assert rule(admission.identify(trusted, [b"\x30\x00"], at)) == "certificate-unreadable"
    assert rule(admission.identify(trusted, [robot.der], at + 2 * DAY)) == "certificate-expired"
    assert rule(admission.identify(trusted, [robot.der], at - 2 * DAY)) == "certificate-not-yet-valid"
    foreign = other_authority.issue(ROBOT, ["x"], (at - DAY, at + DAY))
    assert rule(admission.identify(trusted, [foreign.der], at)) == "unknown-authority"
    assert rule(admission.identify(trusted, [authority.issuing.der], at)) == "certificate-unsuitable"


def test_a_revoked_certificate_is_not_named(authority: Authority, robot: Credential, at: datetime) -> None:
    authority.revoke(robot.certificate, at)
    authority.publish_crls(at)
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    for crl in authority.crls:
        trusted.add_crl(crl, at)
    assert rule(admission.identify(trusted, [robot.der], at)) == "certificate-revoked"


@pytest.mark.parametrize(
    ("purpose", "named"), [(ExtendedKeyUsageOID.SERVER_AUTH, False), (ExtendedKeyUsageOID.CLIENT_AUTH, True)]
)
def test_a_servers_certificate_is_no_clients(
    authority: Authority,
    trusted: TrustedSet,
    at: datetime,
    monkeypatch: pytest.MonkeyPatch,
    purpose: object,
    named: bool,
) -> None:
    monkeypatch.setattr(publisher, "_TLS_PURPOSES", (purpose,))
    issued = authority.issue(ROBOT, ["x"], (at - DAY, at + DAY))
    for _ in range(2):  # the second time, from what was kept
        found = admission.identify(trusted, [issued.der], at)
        assert rule(found) == ("allowed" if named else "certificate-unsuitable")


def test_the_judge_names_by_what_is_known(trusted: TrustedSet, robot: Credential, at: datetime) -> None:
    assert rule(Judge(trusted, ocsp=False, now=lambda: at).known([robot.der])) == "allowed"
