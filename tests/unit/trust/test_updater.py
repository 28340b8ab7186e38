"""What is fetched comes into force only if it is good; every attempt gives an outcome."""

import asyncio
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vaguemestre.trust import admission, allowlist, names, revocation, updater
from vaguemestre.trust.certificates import Authorities
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential
from vaguemestre.trust.trusted_set import TrustedSet
from vaguemestre.trust.updater import Outcome, Refreshed, RefreshFailed

Answer = Callable[[bytes], bytes]


class _Server(ThreadingHTTPServer):
    """Serves `answers`: a path to what makes the body from the request's body."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Answer] = {}
        self.scheme = "http"

    def url(self, path: str) -> str:
        return f"{self.scheme}://localhost:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up early is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", "/list.xml")
            self.end_headers()
            return
        answer = self.server.answers.get(self.path)
        content = answer(body) if answer else b""
        self.send_response(200 if answer else 404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def empty(authority: Authority, tmp_path: Path) -> TrustedSet:
    return TrustedSet(authority.authorities, SIGNER_CN, tmp_path / "trust")


def _refreshed(outcome: Outcome) -> Refreshed:
    assert isinstance(outcome, Refreshed), outcome
    assert outcome.fr != outcome.en
    return outcome


def _failed(outcome: Outcome, rule: str) -> RefreshFailed:
    assert isinstance(outcome, RefreshFailed), outcome
    assert outcome.rule == rule
    assert outcome.fr != outcome.en
    return outcome


def test_a_list_comes_into_force_by_address_and_by_path(
    server: _Server, empty: TrustedSet, signed: bytes, at: datetime, tmp_path: Path
) -> None:
    server.answers["/list.xml"] = lambda _: signed
    outcome = _refreshed(asyncio.run(updater.refresh(empty, server.url("/list.xml"), at)))
    assert outcome.changed
    assert outcome.facts["domains"] == "3"
    assert outcome.facts["generated"] == at.isoformat()
    assert outcome.facts["signer"].startswith("CN=alb.mssante.test")
    (tmp_path / "list.xml").write_bytes(signed)
    again = _refreshed(asyncio.run(updater.refresh(empty, str(tmp_path / "list.xml"), at)))
    assert not again.changed
    assert again.facts["previous_generated"] == at.isoformat()


def test_a_failed_refresh_keeps_the_list_and_raises_the_alarm(
    server: _Server, empty: TrustedSet, signed: bytes, at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.load(signed, at)
    server.answers["/list.xml"] = lambda _: signed.replace(b"a.mssante", b"e.mssante")
    server.answers["/other"] = lambda _: b"<html>"
    monkeypatch.setattr(updater, "MAX_BYTES", len(signed) + 10)
    server.answers["/long"] = lambda _: signed + b" " * 100
    closed = "http://127.0.0.1:1/list.xml"
    for source, rule in (
        (server.url("/list.xml"), "list-altered"),
        (server.url("/other"), "list-malformed"),
        (server.url("/absent"), "fetch-failed"),
        (server.url("/redirect"), "fetch-failed"),
        (server.url("/long"), "fetch-failed"),
        (closed, "fetch-failed"),
        ("http://", "fetch-failed"),
        ("/absent/list.xml", "fetch-failed"),
    ):
        failed = _failed(asyncio.run(updater.refresh(empty, source, at + timedelta(days=1))), rule)
        alarm = empty.alarm(at + timedelta(days=1))
        assert alarm is not None
        assert failed.fr in alarm.fr
        assert empty.usable(at + timedelta(days=1))
    assert empty.in_force is not None
    assert "a.mssante.fr" in empty.in_force.allow_list.names


def test_a_full_disk_is_an_outcome_and_the_former_list_stays(
    empty: TrustedSet,
    signed: bytes,
    dated: Callable[[datetime], bytes],
    at: datetime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    empty.load(dated(at - timedelta(days=1)), at)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vaguemestre.trust.trusted_set.keep", full)
    (tmp_path / "list.xml").write_bytes(signed)
    _failed(asyncio.run(updater.refresh(empty, str(tmp_path / "list.xml"), at)), "disk-failed")
    assert empty.in_force is not None
    assert empty.in_force.allow_list.generated == at - timedelta(days=1)
    assert empty.alarm(at) is not None


def test_tls_is_checked_against_the_given_authorities(
    server: _Server,
    authority: Authority,
    other_authority: Authority,
    empty: TrustedSet,
    operator_a: Credential,
    signed: bytes,
    tmp_path: Path,
    at: datetime,
) -> None:
    now = datetime.now(at.tzinfo)
    name = names.parse("CN=localhost,C=FR")
    served = Authority.create(tmp_path / "now", now - timedelta(days=2))
    served.issue(name, ["localhost"], (now - timedelta(days=1), now + timedelta(days=1))).write(
        tmp_path / "tls.pem", tmp_path / "tls.key", [served.issuing.certificate]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.pem", tmp_path / "tls.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.scheme = "https"
    server.answers["/list.xml"] = lambda _: signed
    url = server.url("/list.xml")
    for tls in (None, updater.tls_context(other_authority.authorities)):
        _failed(asyncio.run(updater.refresh(empty, url, at, tls)), "fetch-failed")
    for trusted_for_tls in (served.authorities, Authorities((served.issuing.certificate,))):
        _refreshed(asyncio.run(updater.refresh(empty, url, at, updater.tls_context(trusted_for_tls))))


def test_crls_are_fetched_and_kept(
    server: _Server, authority: Authority, empty: TrustedSet, operator_a: Credential, at: datetime
) -> None:
    authority.revoke(operator_a.certificate, at)
    crl = authority.publish_crls(at)[1]
    server.answers["/aci.crl"] = lambda _: crl
    outcome = _refreshed(asyncio.run(updater.refresh_crl(empty, server.url("/aci.crl"), at)))
    assert outcome.changed
    assert outcome.facts["revoked"] == "1"
    assert not _refreshed(asyncio.run(updater.refresh_crl(empty, server.url("/aci.crl"), at))).changed
    late = at + timedelta(days=30)
    _failed(asyncio.run(updater.refresh_crl(empty, server.url("/aci.crl"), late)), "crl-expired")
    _failed(asyncio.run(updater.refresh_crl(empty, server.url("/none"), at)), "fetch-failed")
    assert [held.der for held in empty.revocation_lists] == [crl]


def test_without_a_crl_the_responder_settles_it(
    server: _Server, tmp_path: Path, entries: list[allowlist.Entry], at: datetime
) -> None:
    authority = Authority.create(tmp_path / "online", at - timedelta(days=2), ocsp_url=server.url("/ocsp"))
    name = names.parse("CN=mail.b.test,OU=341518515600056,O=Société B,ST=Bouches-du-Rhône (13),C=FR")
    life = at - timedelta(days=1), at + timedelta(days=1)
    good, revoked = authority.issue(name, ["b"], life), authority.issue(name, ["b"], life)
    authority.revoke(revoked.certificate, at)
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    trusted.load(authority.sign(allowlist.render(entries, at)), at)
    trusted.add_crl(authority.crls[0], at)
    server.answers["/ocsp"] = lambda request: authority.ocsp_response(request, at)
    for credential, rule in ((good, "allowed"), (revoked, "certificate-revoked")):
        chain = [credential.der]
        assert admission.decide(trusted, chain, "b.mssante.fr", at).rule == "revocation-unknown"
        outcomes = asyncio.run(updater.learn_revocation(trusted, chain, at))
        assert [_refreshed(outcome).kind for outcome in outcomes] == ["ocsp"]
        assert admission.decide(trusted, chain, "b.mssante.fr", at).rule == rule
        assert asyncio.run(updater.learn_revocation(trusted, chain, at)) == []


def test_a_silent_or_lying_responder_settles_nothing(
    server: _Server,
    authority: Authority,
    other_authority: Authority,
    operator_a: Credential,
    signed: bytes,
    at: datetime,
) -> None:
    trusted = TrustedSet(authority.authorities, SIGNER_CN)
    trusted.load(signed, at)
    trusted.add_crl(authority.crls[0], at)
    server.answers["/lies"] = lambda request: other_authority.ocsp_response(request, at)
    chain = [operator_a.der]
    for responder, rule in (
        (None, "ocsp-no-responder"),
        (server.url("/lies"), "ocsp-refused"),
        (server.url("/none"), "fetch-failed"),
    ):
        (outcome,) = asyncio.run(updater.learn_revocation(trusted, chain, at, responder))
        _failed(outcome, rule)
        decision = admission.decide(trusted, chain, "a.mssante.fr", at)
        assert decision.rule == "revocation-unknown"
        assert decision.temporary


def test_a_stranger_s_certificate_makes_us_ask_nobody(
    server: _Server, tmp_path: Path, authority: Authority, trusted: TrustedSet, at: datetime
) -> None:
    asked: list[bytes] = []
    server.answers["/ocsp"] = lambda request: asked.append(request) or b""  # type: ignore[func-returns-value]
    stranger = Authority.create(tmp_path / "stranger", at - timedelta(days=2), ocsp_url=server.url("/ocsp"))
    leaf = stranger.issue(names.parse("CN=x,C=FR"), ["x"], (at - timedelta(days=1), at + timedelta(days=1)))
    chain = [leaf.der, stranger.issuing.der, stranger.root.der]
    assert asyncio.run(updater.learn_revocation(trusted, chain, at)) == []
    assert asyncio.run(updater.learn_revocation(trusted, [], at)) == []
    assert asked == []


def test_the_request_names_the_certificate(authority: Authority, operator_a: Credential, at: datetime) -> None:
    request = revocation.ocsp_request(operator_a.certificate, authority.issuing.certificate)
    standing = revocation.RevocationStore(authority.authorities).add_ocsp(
        authority.ocsp_response(request, at), operator_a.certificate, authority.issuing.certificate, at
    )
    assert standing.revoked is False
