"""Other people's programs send through an operator's server for submission: swaks, msmtp; OpenSSL holds it to its TLS.

Suites: Référentiel #2 (API LPS), ECO.1.1.1 to ECO.1.1.3; the same for reading and for sending.
"""

import random
import subprocess
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from simulators.openid_provider import AUDIENCE, PERSON, OpenIdProvider
from simulators.operators import Operator
from simulators.patience import until
from simulators.software import program
from simulators.space import SOUTH, TrustSpace
from vaguemestre.identity.permissions import ADMINISTRATOR
from vaguemestre.mailstore import sharing

SUITES = (
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "DHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-SHA384",
    "ECDHE-RSA-AES128-SHA256",
)
OTHER_SUITES = ("ECDHE-RSA-CHACHA20-POLY1305", "DHE-RSA-AES256-SHA256", "AES256-GCM-SHA384", "ECDHE-RSA-AES256-SHA")
DOORS = ("submission", "submissions", "imap", "imaps")


@pytest.fixture(scope="module")
def provider() -> Iterator[OpenIdProvider]:
    made = OpenIdProvider()
    yield made
    made.close()


@pytest.fixture(scope="module")
def south(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory, provider: OpenIdProvider) -> Iterator[Operator]:
    """A running operator that mail programs send through and read from. Each test writes to a person of its own."""
    people = ("claire", "karim", "awa", "lucie", "hugo", "ines")
    listen = {"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0"}
    identity = {"app_passwords": True, "issuer": provider.issuer, "audience": [AUDIENCE]}
    folder = tmp_path_factory.mktemp("south")
    running = Operator(space, folder, SOUTH, people, submission=listen, imap=listen, identity=identity)
    yield running.start_process()
    running.close()


@pytest.fixture(scope="module")
def claire(south: Operator) -> tuple[str, str]:
    """What claire's programs sign in with."""
    return south.let_in("claire")


# ---- swaks


def swaks(
    south: Operator, login: tuple[str, str], *words: str, door: str = "submission"
) -> "subprocess.CompletedProcess[str]":
    command = [program("swaks"), "--server", "127.0.0.1", "--port", str(south.ports[door]), "--from", login[0]]
    command += [
        "--auth-user",
        login[0],
        "--auth-password",
        login[1],
        "--tls" if door == "submission" else "--tls-on-connect",
    ]
    return subprocess.run([*command, *words], check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("door", ["submission", "submissions"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks_signs_in_and_sends(south: Operator, claire: tuple[str, str], door: str, mechanism: str) -> None:
    before = len(south.messages("karim"))
    sent = swaks(south, claire, "--auth", mechanism, "--to", SOUTH.address("karim"), door=door)
    assert sent.returncode == 0, sent.stdout
    assert f"AUTH {mechanism}" in sent.stdout
    assert " 235 2.7.0 " in sent.stdout
    assert len(south.messages("karim")) == before + 1


def test_swaks_is_told_what_is_wrong(south: Operator, claire: tuple[str, str]) -> None:
    to = SOUTH.address("karim")
    wrong = swaks(south, (claire[0], "aaaa-bbbb-cccc-dddd"), "--auth", "PLAIN", "--to", to)
    assert wrong.returncode == 28
    assert "535-5.7.8 Connexion refusee" in wrong.stdout
    unknown = swaks(south, claire, "--auth", "PLAIN", "--to", "quelqu.un@example.org")
    assert unknown.returncode == 24
    assert "n'est pas inscrit dans l'espace de confiance" in unknown.stdout
    forged = swaks(south, claire, "--auth", "PLAIN", "--to", to, "--header", "From: <awa@sud.mssante.fr>")
    assert forged.returncode == 26
    assert "550-5.7.1 Message non envoye" in forged.stdout


def test_swaks_pipelines_a_large_attachment(south: Operator, claire: tuple[str, str], tmp_path: Path) -> None:
    picture = tmp_path / "panoramique.dcm"
    picture.write_bytes(random.Random(9).randbytes(12_000_000))
    attach = ("--attach-type", "application/dicom", "--attach", f"@{picture}")
    sent = swaks(south, claire, "--auth", "PLAIN", "--pipeline", "--to", SOUTH.address("ines"), *attach)
    assert sent.returncode == 0, sent.stdout[-2000:]
    message = message_from_bytes(south.only_message("ines"), policy=policy.default)
    (attached,) = message.iter_attachments()
    assert attached.get_content() == picture.read_bytes()


# ---- msmtp


def msmtp(
    space: TrustSpace,
    south: Operator,
    login: tuple[str, str],
    folder: Path,
    content: str,
    *words: str,
    door: str,
    auth: str,
) -> "subprocess.CompletedProcess[str]":
    """A message on standard input, as `sendmail` takes it; our certificate is verified."""
    file = folder / "msmtprc"
    starttls = "on" if door == "submission" else "off"
    file.write_text(
        f"defaults\ntls on\ntls_starttls {starttls}\ntls_trust_file {space.authorities}\nauth {auth}\n"
        f"account sud\nhost localhost\nport {south.ports[door]}\nfrom {login[0]}\nuser {login[0]}\n"
        f"passwordeval cat {folder / 'secret'}\naccount default : sud\n"
    )
    (folder / "secret").write_text(login[1])
    file.chmod(0o600)
    command = [program("msmtp"), f"--file={file}", *words]
    return subprocess.run(command, input=content, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(("door", "auth"), [("submission", "plain"), ("submissions", "login"), ("submission", "on")])
def test_msmtp_sends_to_those_the_header_names_and_blind_copies_stay_blind(
    space: TrustSpace, south: Operator, claire: tuple[str, str], tmp_path: Path, door: str, auth: str
) -> None:
    to, blind = SOUTH.address("awa"), SOUTH.address("lucie")
    before = len(south.messages("lucie"))
    content = f"To: Awa <{to}>\nBcc: <{blind}>\nSubject: Depuis msmtp, été\n\nUn mot.\n.\nFin.\n"
    words = ("--read-recipients", "--remove-bcc=off", "--set-from-header=off", "--set-date-header=off")
    sent = msmtp(space, south, claire, tmp_path, content, *words, door=door, auth=auth)
    assert sent.returncode == 0, sent.stderr
    for person in ("awa", "lucie"):
        source = south.content(south.messages(person)[0])
        assert b"lucie" not in source
        read = message_from_bytes(source, policy=policy.default)
        assert isinstance(read, EmailMessage)
        assert str(read["From"]) == f"Dr Claire <{claire[0]}>"
        assert read["Message-ID"]
        assert read["Date"]
        assert source.endswith(b"\r\n\r\nUn mot.\r\n.\r\nFin.\r\n")
    assert len(south.messages("lucie")) == before + 1


@pytest.mark.parametrize("auth", ["xoauth2", "oauthbearer"])
def test_msmtp_signs_in_with_a_token(
    space: TrustSpace, south: Operator, provider: OpenIdProvider, tmp_path: Path, auth: str
) -> None:
    user = SOUTH.address("hugo")
    south.write(sharing.bind_holder, user, PERSON, "Dr Hugo", ADMINISTRATOR)
    content, to = f"From: <{user}>\nSubject: Par jeton\n\nUn mot.\n", SOUTH.address("karim")
    sent = msmtp(space, south, (user, provider.token()), tmp_path, content, to, door="submission", auth=auth)
    assert sent.returncode == 0, sent.stderr
    expired = (user, provider.token(exp=1_700_000_000))
    refused = msmtp(space, south, expired, tmp_path, content, to, door="submission", auth=auth)
    assert refused.returncode == 77  # EX_NOPERM
    assert "535-5.7.8 Connexion refusee" in refused.stderr


def test_msmtp_asks_to_be_told_of_the_delivery(
    space: TrustSpace, south: Operator, claire: tuple[str, str], tmp_path: Path
) -> None:
    words = ("--dsn-notify=success,failure", "--dsn-return=headers", SOUTH.address("awa"))
    content = f"From: <{claire[0]}>\nSubject: Recommandé\n\nUn mot.\n"
    sent = msmtp(space, south, claire, tmp_path, content, *words, door="submission", auth="plain")
    assert sent.returncode == 0, sent.stderr
    until(
        lambda: any(b"report-type=delivery-status" in south.content(each) for each in south.messages("claire")),
        "the notification",
    )


# ---- OpenSSL


def s_client(space: TrustSpace, south: Operator, door: str, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [program("openssl"), "s_client", "-connect", f"127.0.0.1:{south.ports[door]}", "-crlf", "-ign_eof"]
    command += ["-CAfile", str(space.authorities), "-verify_return_error", "-verify_hostname", SOUTH.host]
    if door in ("submission", "imap"):
        command += ["-starttls", "smtp" if door == "submission" else "imap"]
    says = "QUIT\n" if door.startswith("submission") else "a LOGOUT\n"
    return subprocess.run([*command, *words], input=says, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("suite", SUITES)
def test_each_suite_of_mail_programs_is_accepted_without_a_certificate(
    space: TrustSpace, south: Operator, door: str, suite: str
) -> None:
    seen = s_client(space, south, door, "-tls1_2", "-cipher", suite)
    assert seen.returncode == 0, seen.stderr
    assert f"New, TLSv1.2, Cipher is {suite}" in seen.stdout
    (key,) = [line for line in seen.stdout.splitlines() if line.startswith(("Server Temp Key", "Peer Temp Key"))]
    bits = int(key.removesuffix(" bits").rpartition(" ")[2])
    assert bits >= (2048 if suite.startswith("DHE") else 253), key


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("suite", OTHER_SUITES)
def test_no_other_suite_is(space: TrustSpace, south: Operator, door: str, suite: str) -> None:
    seen = s_client(space, south, door, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0")
    assert seen.returncode != 0
    assert "Cipher is (NONE)" in seen.stdout


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_are_refused_and_the_latest_is_taken(
    space: TrustSpace, south: Operator, door: str, version: str
) -> None:
    seen = s_client(space, south, door, version, "-cipher", "ALL:@SECLEVEL=0")
    assert seen.returncode != 0
    assert "protocol version" in seen.stderr
    assert "New, TLSv1.3" in s_client(space, south, door).stdout
