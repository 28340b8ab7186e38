"""swaks, the Swiss army knife of SMTP, delivers to an operator over STARTTLS with a client certificate."""

import json
import random
import subprocess
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from simulators.operators import Operator
from simulators.patience import until
from simulators.software import program
from simulators.space import NORTH, SOUTH, Identity, TrustSpace

AUTHOR = NORTH.address("claire")


def swaks(south: Operator, identity: Identity | None, *words: str) -> "subprocess.CompletedProcess[str]":
    """One run. Its exit code is 0 where the message was accepted."""
    command = [program("swaks"), "--server", "127.0.0.1", "--port", str(south.port), "--from", AUTHOR]
    if identity is not None:
        command += ["--tls-cert", str(identity.certificate), "--tls-key", str(identity.key)]
    return subprocess.run([*command, *words], check=False, capture_output=True, text=True, timeout=60)


def test_a_message_is_accepted_and_visible_to_its_reader(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("claire")
    sent = swaks(south, space.identity(NORTH), "--tls", "--to", to, "--header", "Subject: Depuis swaks")
    assert sent.returncode == 0, sent.stdout
    assert "=== TLS started with cipher TLSv1.3:TLS_AES_256_GCM_SHA384:256" in sent.stdout
    assert 'TLS peer DN="/C=FR/ST=Var (83)/O=H' in sent.stdout
    assert " 250 2.0.0 Delivered as " in sent.stdout
    listed = south.process("mailbox", "list", to, "-m", "INBOX", "--json")
    assert listed.returncode == 0, listed.stderr
    (message,) = json.loads(listed.stdout)["messages"]
    assert message["subject"] == "Depuis swaks"
    assert message["from"] == AUTHOR


def test_one_message_to_several_people(space: TrustSpace, south: Operator) -> None:
    people = ("karim", "awa", "lucie")
    to = ",".join(SOUTH.address(person) for person in people)
    sent = swaks(south, space.identity(NORTH), "--tls", "--to", to, "--header", "Subject: Pour tous")
    assert sent.returncode == 0, sent.stdout
    assert [[each.summary.subject for each in south.messages(person)] for person in people] == [["Pour tous"]] * 3


def test_pipelined_with_a_recipient_refused(space: TrustSpace, south: Operator) -> None:
    to = f"{SOUTH.address('personne')},{SOUTH.address('hugo')}"
    sent = swaks(south, space.identity(NORTH), "--tls", "--pipeline", "--to", to)
    assert sent.returncode == 0, sent.stdout
    assert "550" in sent.stdout
    assert len(south.messages("hugo")) == 1


def test_a_large_attachment_arrives_intact(space: TrustSpace, south: Operator, tmp_path: Path) -> None:
    picture = tmp_path / "panoramique.dcm"
    picture.write_bytes(random.Random(8).randbytes(12_000_000))
    to = SOUTH.address("ines")
    sent = swaks(
        south,
        space.identity(NORTH),
        "--tls",
        "--to",
        to,
        "--attach-type",
        "application/dicom",
        "--attach",
        f"@{picture}",
    )
    assert sent.returncode == 0, sent.stdout[-2000:]
    message = message_from_bytes(south.only_message("ines"), policy=policy.default)
    (attached,) = message.iter_attachments()
    assert attached.get_content() == picture.read_bytes()


@pytest.mark.parametrize(
    "tls", [("--tls-protocol", "tlsv1_2"), ("--tls-protocol", "tlsv1_3")], ids=lambda words: words[1]
)
def test_both_versions_of_tls(space: TrustSpace, south: Operator, tls: tuple[str, ...]) -> None:
    sent = swaks(south, space.identity(NORTH), "--tls", *tls, "--to", SOUTH.address("awa"))
    assert sent.returncode == 0, sent.stdout


def test_without_a_certificate_it_is_refused_with_the_reason(space: TrustSpace, south: Operator) -> None:
    refused = swaks(south, None, "--tls", "--to", SOUTH.address("claire"))
    assert refused.returncode == 23  # MAIL was refused
    assert "550-5.7.1 " in refused.stdout
    assert "aucun certificat n'a ete presente" in refused.stdout
    assert "no certificate was presented" in refused.stdout
    until(lambda: south.journal("peer-refusal", "no-certificate"), "the refusal is journalled")


def test_without_tls_it_is_refused_with_the_reason(space: TrustSpace, south: Operator) -> None:
    refused = swaks(south, None, "--to", SOUTH.address("claire"))
    assert refused.returncode == 23
    assert "530-5.7.0 Envoyez d'abord STARTTLS" in refused.stdout


def test_with_an_expired_certificate_it_is_refused_with_the_reason(space: TrustSpace, south: Operator) -> None:
    refused = swaks(south, space.expired, "--tls", "--to", SOUTH.address("claire"))
    assert refused.returncode == 23
    assert "a expire le" in refused.stdout
