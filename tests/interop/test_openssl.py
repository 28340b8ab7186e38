"""OpenSSL's s_client holds the listener to its TLS, and talks to it by hand; its OCSP answers are understood.

Versions and suites: Référentiel #2, ECO.1.1.2 and ECO.1.1.3.
"""

import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509

from simulators.operators import Operator
from simulators.patience import until
from simulators.software import program
from simulators.space import DAY, NORTH, SOUTH, Identity, TrustSpace

SUITES = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA256",
)
OTHER_SUITES = (
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES256-SHA",
    "DHE-RSA-AES256-GCM-SHA384",
    "AES256-GCM-SHA384",
    "AES128-SHA",
)


def s_client(
    space: TrustSpace, south: Operator, identity: Identity | None, *words: str, says: str = "QUIT\n"
) -> "subprocess.CompletedProcess[str]":
    """One connection with STARTTLS, our certificate verified; `says` is typed, and the answers are on standard output."""
    command = [
        program("openssl"),
        "s_client",
        "-starttls",
        "smtp",
        "-connect",
        f"127.0.0.1:{south.port}",
        "-crlf",
        "-ign_eof",
    ]
    command += ["-CAfile", str(space.authorities), "-verify_return_error", "-verify_hostname", SOUTH.host]
    if identity is not None:
        command += ["-cert", str(identity.alone), "-key", str(identity.key)]
    return subprocess.run([*command, *words], input=says, check=False, capture_output=True, text=True, timeout=60)


def test_our_certificate_is_the_one_of_the_host_and_comes_with_its_issuer(space: TrustSpace, south: Operator) -> None:
    seen = s_client(space, south, space.identity(NORTH))
    assert seen.returncode == 0, seen.stderr
    assert "Verify return code: 0 (ok)" in seen.stdout
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in seen.stdout
    assert f"CN = {SOUTH.host}" in seen.stdout
    assert "TEST AC IGC-SANTE ELEMENTAIRE ORGANISATIONS" in seen.stdout
    assert "Secure Renegotiation IS NOT supported" in seen.stdout or "TLSv1.3" in seen.stdout
    assert "Compression: NONE" in seen.stdout


@pytest.mark.parametrize("suite", SUITES)
def test_the_suites_of_the_trust_space_are_accepted_in_tls_1_2(space: TrustSpace, south: Operator, suite: str) -> None:
    seen = s_client(space, south, space.identity(NORTH), "-tls1_2", "-cipher", suite)
    assert seen.returncode == 0, seen.stderr
    assert f"New, TLSv1.2, Cipher is {suite}" in seen.stdout
    assert "221 2.0.0" in seen.stdout


@pytest.mark.parametrize("suite", OTHER_SUITES)
def test_no_other_suite_is(space: TrustSpace, south: Operator, suite: str) -> None:
    seen = s_client(space, south, space.identity(NORTH), "-tls1_2", "-cipher", suite)
    assert seen.returncode != 0
    assert "Cipher is (NONE)" in seen.stdout
    assert "handshake failure" in seen.stderr


@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused(space: TrustSpace, south: Operator, version: str) -> None:
    seen = s_client(space, south, space.identity(NORTH), version, "-cipher", "ALL@SECLEVEL=0")
    assert seen.returncode != 0
    assert "protocol version" in seen.stderr
    (entry, *_) = until(lambda: south.journal("peer-refusal", "tls-failure"), "the refusal is journalled")
    assert "older than 1.2" in entry.facts["reason"] or "cipher" in entry.facts["reason"]


def test_the_server_chooses_the_strongest_suite_offered(space: TrustSpace, south: Operator) -> None:
    seen = s_client(space, south, space.identity(NORTH), "-tls1_2", "-cipher", ":".join(reversed(SUITES)))
    assert f"Cipher is {SUITES[0]}" in seen.stdout


def test_a_dialogue_by_hand(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("lucie")
    typed = [
        "EHLO main.example",
        f"MAIL FROM:<{NORTH.address('claire')}>",
        f"RCPT TO:<{to}>",
        "DATA",
        "Subject: A la main",
        "",
        "..Un point.",
        ".",
        "QUIT",
    ]
    seen = s_client(space, south, space.identity(NORTH), "-quiet", says="\n".join(typed) + "\n")
    codes = [line[:3] for line in seen.stdout.splitlines() if line[3:4] == " "]
    assert codes[-6:] == ["250", "250", "250", "354", "250", "221"]
    assert south.only_message("lucie").endswith(b"\r\nSubject: A la main\r\n\r\n.Un point.\r\n")


def test_a_dialogue_without_a_certificate_is_refused(space: TrustSpace, south: Operator) -> None:
    typed = f"EHLO main.example\nMAIL FROM:<{NORTH.address('claire')}>\nQUIT\n"
    seen = s_client(space, south, None, "-quiet", says=typed)
    assert "550-5.7.1" in seen.stdout
    assert "aucun certificat" in seen.stdout


def test_a_session_is_not_resumed(space: TrustSpace, south: Operator) -> None:
    """Each connection proves its certificate afresh."""
    seen = s_client(space, south, space.identity(NORTH), "-tls1_2", "-reconnect")
    assert "Reused" not in seen.stdout


@pytest.fixture
def responder(space: TrustSpace, tmp_path: Path) -> Iterator[str]:
    """The address of a responder whose answers are OpenSSL's, signed by the issuing authority."""
    issuing, certificate, key = space.authority.issuing, tmp_path / "ca.pem", tmp_path / "ca.key"
    issuing.write(certificate, key)
    index = tmp_path / "index.txt"
    good, revoked = (each.credential.certificate for each in (space.identity(NORTH), space.revoked))
    since = f"{space.now - DAY:%y%m%d%H%M%SZ}"
    index.write_text(_indexed("V", "", good) + _indexed("R", since, revoked))
    command = [program("openssl"), "ocsp", "-index", index, "-CA", certificate, "-rsigner", certificate, "-rkey", key]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question, answer = tmp_path / "question", tmp_path / "answer"
            question.write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            subprocess.run([*command, "-nmin", "60", "-reqin", question, "-respout", answer], check=True)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer.read_bytes())

        def log_message(self, *_: object) -> None:
            """Nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


def _indexed(state: str, since: str, certificate: x509.Certificate) -> str:
    """A line of the index that `openssl ca` would keep."""
    serial = f"{certificate.serial_number:X}"
    ends = f"{certificate.not_valid_after_utc:%y%m%d%H%M%SZ}"
    return f"{state}\t{ends}\t{since}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=x\n"


def test_its_ocsp_answers_admit_a_peer_and_refuse_a_revoked_one(
    space: TrustSpace, responder: str, tmp_path: Path
) -> None:
    trust = {"crls": [str(space.folder / "authority" / "root.crl")], "ocsp": responder}
    south = Operator(space, tmp_path / "south", SOUTH, ("claire",), trust=trust).start()
    try:
        typed = f"EHLO main.example\nMAIL FROM:<{NORTH.address('claire')}>\nQUIT\n"
        assert "250 2.1.0 OK" in s_client(space, south, space.identity(NORTH), "-quiet", says=typed).stdout
        refused = s_client(space, south, space.revoked, "-quiet", says=typed).stdout
        assert "550-5.7.1" in refused
        assert "a ete revoque" in refused
    finally:
        south.close()
