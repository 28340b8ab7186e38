"""Postfix as another operator: it sends to us and receives from us, over mutual TLS that both sides verify."""

import random
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from simulators.notices import read_notice
from simulators.operators import Operator
from simulators.patience import until
from simulators.postfix import Postfix
from simulators.space import SOUTH, Place, TrustSpace
from vaguemestre.documents.compose import Attachment
from vaguemestre.mailstore.model import Role
from vaguemestre.transport.envelope import Recipient
from vaguemestre.trust import allowlist

OTHER = Place(
    "autre.mssante.fr",
    "mail.autre.mssante.fr",
    'CN=mail.autre.mssante.fr,OU=1690000006,O="CLINIQUE  L\'AUTRE",ST=Rhône (69),C=FR',
)
AUTHOR, THEIRS = SOUTH.address("claire"), OTHER.address("rose")

pytestmark = pytest.mark.xdist_group("postfix")


@pytest.fixture(scope="module")
def pair(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Operator, Postfix]]:
    """An operator and a Postfix that know the way to one another."""
    folder = tmp_path_factory.mktemp("pair")
    listed = folder / "list.xml"
    listed.write_bytes(space.signed([allowlist.entry(OTHER.domain, OTHER.dn)]))
    peer = Postfix(OTHER, space.identity(OTHER), space.expired, space.authorities, ["rose", "sami", "zoe"])
    south = Operator(
        space,
        folder / "south",
        SOUTH,
        ("claire", "karim", "awa", "lucie"),
        trust={"list": str(listed)},
        queue={"routes": {OTHER.domain: peer.route}},
    )
    try:
        south.start_process()
        way = f"[localhost]:{south.port}"
        peer.start({SOUTH.domain: f"smtp:{way}", SOUTH.address("lucie"): f"expired:{way}"})
        yield south, peer
    finally:
        south.close()
        peer.close()


def a_message(to: str, subject: str, picture: bytes = b"") -> bytes:
    """A letter as a mail client makes it."""
    message = EmailMessage(policy=policy.SMTP)
    message["From"], message["To"], message["Subject"] = THEIRS, to, subject
    message.set_content("Cher confrère,\n\n.\n..\nBien à vous.\n", cte="8bit")
    if picture:
        message.add_attachment(picture, "application", "dicom", filename="radio.dcm")
    return message.as_bytes()


def attachment_of(source: bytes) -> bytes:
    """The bytes of a message's only attachment."""
    message = message_from_bytes(source, policy=policy.default)
    assert isinstance(message, EmailMessage)
    (attached,) = message.iter_attachments()
    content = attached.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def test_postfix_sends_to_us_over_verified_mutual_tls(pair: tuple[Operator, Postfix]) -> None:
    south, peer = pair
    picture = random.Random(1).randbytes(5_000_000)
    peer.send(
        "rose", [SOUTH.address("karim"), SOUTH.address("awa")], a_message(SOUTH.address("karim"), "Radio", picture)
    )
    source = south.only_message("karim")
    assert attachment_of(source) == picture
    assert south.only_message("awa") == source
    assert source.startswith(f"Return-Path: <{THEIRS}>\r\nReceived: from {OTHER.host} ([127.0.0.1])\r\n".encode())
    until(lambda: re.search(r"status=sent \(250 2\.0\.0 Delivered as \S+\)", peer.log), "Postfix logs our answer")
    assert f"Verified TLS connection established to localhost[127.0.0.1]:{south.port}: TLSv1.3" in peer.log
    (entry,) = [entry for entry in south.journal("acceptance") if entry.personal and entry.personal["from"] == THEIRS]
    assert entry.facts["peer"].startswith("CN=mail.autre.mssante.fr,OU=1690000006,")


def test_postfix_learns_who_does_not_exist_and_tells_its_author(pair: tuple[Operator, Postfix]) -> None:
    south, peer = pair
    nobody = SOUTH.address("personne")
    peer.send("sami", [nobody, SOUTH.address("claire")], a_message(nobody, "Pour deux"))
    until(lambda: peer.messages("sami"), "Postfix's notification")
    notice = read_notice(peer.messages("sami")[0].replace(b"\n", b"\r\n"))
    assert notice.fields["Status"] == "5.1.1"
    assert f"Il n'y a pas de boite {nobody} ici" in " ".join(notice.fields["Diagnostic-Code"].split())
    until(lambda: [m for m in south.messages("claire") if m.summary.subject == "Pour deux"], "the other has it")


def test_a_postfix_with_an_expired_certificate_is_refused(pair: tuple[Operator, Postfix]) -> None:
    south, peer = pair
    peer.send("zoe", [SOUTH.address("lucie")], a_message(SOUTH.address("lucie"), "Trop tard"))
    until(lambda: peer.messages("zoe"), "Postfix's notification")
    words = " ".join(read_notice(peer.messages("zoe")[0].replace(b"\n", b"\r\n")).fields["Diagnostic-Code"].split())
    assert "a expire le" in words
    assert "its owner must renew it" in words
    assert south.messages("lucie") == []
    until(lambda: south.journal("peer-refusal", "certificate-expired"), "the refusal is journalled")


def test_we_send_to_postfix_over_mutual_tls(pair: tuple[Operator, Postfix]) -> None:
    south, peer = pair
    picture = random.Random(2).randbytes(5_000_000)
    south.send("claire", [THEIRS], "Panoramique", [Attachment("radio.dcm", picture)])
    south.send("claire", [THEIRS], "Suite")
    until(lambda: len(peer.messages("rose")) == 2, "both are in the Maildir")
    by_subject = {b"Panoramique" in each: each for each in peer.messages("rose")}
    assert attachment_of(by_subject[True]) == picture
    kept = {south.content(each).replace(b"\r\n", b"\n") for each in south.messages("claire", Role.SENT)}
    # Postfix adds lines above ours, and changes none.
    assert all(any(each.endswith(copy) for copy in kept) for each in by_subject.values())
    assert b"Return-Path: <" + AUTHOR.encode() + b">" in by_subject[True]
    assert "Trusted TLS connection established from localhost[127.0.0.1]: TLSv1.3" in peer.log
    until(lambda: not south.queued(), "the queue is empty")
    relays = [entry for entry in south.journal("relay") if entry.facts["domain"] == OTHER.domain]
    assert all(entry.facts["reply"].startswith("250 2.0.0") for entry in relays)


def test_who_does_not_exist_at_postfix_comes_back_in_french(pair: tuple[Operator, Postfix]) -> None:
    south, _ = pair
    gone = OTHER.address("parti")
    south.send("karim", [gone], "Vous nous quittez ?")
    notice = read_notice(_notification(south, "karim"))
    assert notice.fields["Final-Recipient"] == f"rfc822; {gone}"
    assert notice.fields["Status"] == "5.1.1"
    assert "Pourquoi : cette adresse n'existe pas chez l'opérateur du destinataire." in notice.french
    assert "User unknown in virtual mailbox table" in notice.french


def test_postfix_s_receipt_comes_back_to_the_author(pair: tuple[Operator, Postfix]) -> None:
    """RFC 3461: we pass the request on; Postfix delivers, and its notification, with the null reverse-path, reaches us."""
    south, _ = pair
    south.send(
        "awa", [Recipient(OTHER.address("sami"), frozenset({"SUCCESS"}))], "Avec retour", envelope_id="lettre 7+8"
    )
    source = _notification(south, "awa")
    assert source.startswith(b"Return-Path: <>\r\n")
    notice = read_notice(source)
    assert notice.fields["Action"] == "delivered"
    assert notice.fields["Original-Envelope-Id"] == "lettre 7+8"


def _notification(south: Operator, person: str) -> bytes:
    def found() -> list[bytes]:
        sources = (south.content(each) for each in south.messages(person))
        return [source for source in sources if b"multipart/report" in source]

    return until(found, f"a notification for {person}")[0]
