"""Notifications: what people read, and what Python's email package reads of the rest."""

from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage, Message
from email.policy import SMTP
from email.utils import parsedate_to_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.explanations import explanation
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.documents.notifications import Action, Notification, RecipientStatus, render

ARRIVAL = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
AT = ARRIVAL + timedelta(hours=4)
HEAD = (
    b"From: Jean <jean@a.mssante.fr>\r\nTo: bob@b.mssante.fr\r\nMessage-ID: <7@a.mssante.fr>\r\n"
    b"Subject: =?utf-8?Q?Radio_pr=C3=A9op=C3=A9ratoire?=\r\n\r\n"
)
ORIGINAL = HEAD + b"Bonjour\r\n"
FAILED = RecipientStatus(
    "bob@b.mssante.fr",
    Action.FAILED,
    "5.1.1",
    original="rfc822;Bob+2BRadio@b.mssante.fr",
    remote_mta="mx.b.mssante.fr",
    diagnostic="550 5.1.1 Adresse inconnue",
    last_attempt=AT,
)
DELAYED = RecipientStatus(
    "eve@c.mssante.fr",
    Action.DELAYED,
    "4.4.1",
    last_attempt=AT,
    will_retry_until=ARRIVAL + timedelta(days=2),
)


def _notification(*recipients: RecipientStatus, original: bytes = ORIGINAL, full: bool = False) -> Notification:
    return Notification(
        author="jean@a.mssante.fr",
        postmaster="postmaster@a.mssante.fr",
        reporting_mta="mx.a.mssante.fr",
        arrival=ARRIVAL,
        at=AT,
        recipients=recipients,
        original=original,
        full=full,
        envelope_id="QQ+2B314",
        zone=timezone(timedelta(hours=1), "CET"),
    )


def _read(message: bytes) -> tuple[EmailMessage, list[EmailMessage]]:
    parsed = message_from_bytes(message, policy=SMTP)
    assert isinstance(parsed, EmailMessage)
    assert parsed.get_content_type() == "multipart/report"
    assert parsed.get_param("report-type") == "delivery-status"
    assert not any(part.defects for part in parsed.walk())
    parts = [part for part in parsed.get_payload() if isinstance(part, EmailMessage)]
    assert len(parts) == 3
    return parsed, parts


def _groups(part: EmailMessage) -> list[Message]:
    assert part.get_content_type() == "message/delivery-status"
    payload = part.get_payload()
    assert isinstance(payload, list)
    return [group for group in payload if isinstance(group, Message)]


def test_software_finds_every_field_of_rfc_3464() -> None:
    message = render(_notification(FAILED, DELAYED))
    assert message.isascii()
    _, [_, status, _] = _read(message)
    whole, bob, eve = _groups(status)
    assert whole.items() == [
        ("Original-Envelope-Id", "QQ+314"),
        ("Reporting-MTA", "dns; mx.a.mssante.fr"),
        ("Arrival-Date", "Sun, 01 Mar 2026 09:30:00 +0000"),
    ]
    assert bob.items() == [
        ("Original-Recipient", "rfc822; Bob+Radio@b.mssante.fr"),
        ("Final-Recipient", "rfc822; bob@b.mssante.fr"),
        ("Action", "failed"),
        ("Status", "5.1.1"),
        ("Remote-MTA", "dns; mx.b.mssante.fr"),
        ("Diagnostic-Code", "smtp; 550 5.1.1 Adresse inconnue"),
        ("Last-Attempt-Date", "Sun, 01 Mar 2026 13:30:00 +0000"),
    ]
    assert eve.keys() == ["Final-Recipient", "Action", "Status", "Last-Attempt-Date", "Will-Retry-Until"]
    assert parsedate_to_datetime(eve["Will-Retry-Until"]) == ARRIVAL + timedelta(days=2)


def test_only_a_delay_promises_to_try_again() -> None:
    late = RecipientStatus("a@b", Action.FAILED, "4.4.7", will_retry_until=AT)
    _, [_, status, _] = _read(render(_notification(late)))
    assert "Will-Retry-Until" not in _groups(status)[1]


def test_it_is_addressed_marked_automatic_and_in_the_conversation() -> None:
    parsed, _ = _read(render(_notification(FAILED)))
    assert parsed["To"] == "jean@a.mssante.fr"
    assert "postmaster@a.mssante.fr" in parsed["From"]
    assert parsed["Auto-Submitted"] == "auto-replied"
    assert parsed["References"] == "<7@a.mssante.fr>"
    assert str(parsed["Message-ID"]).endswith("@a.mssante.fr>")
    assert parsed["Subject"] == "Message non remis (Undelivered message) : Radio préopératoire"
    assert parsedate_to_datetime(parsed["Date"]) == AT


def test_people_read_what_happened_to_whom_and_what_to_do_french_first() -> None:
    _, [words, _, _] = _read(render(_notification(FAILED, DELAYED)))
    text = words.get_content()
    french, english = text.split("-" * 60)
    assert "Votre message « Radio préopératoire » du 01/03/2026 à 10:30 (CET)" in french
    assert "n'a pas pu être remis à bob@b.mssante.fr" in french
    assert "Pourquoi : cette adresse n'existe pas" in french
    assert "Que faire : vérifiez l'adresse dans l'annuaire" in french
    assert "Réponse du serveur du destinataire : 550 5.1.1 Adresse inconnue" in french
    assert "eve@c.mssante.fr. L'envoi est tenté de nouveau automatiquement jusqu'au 03/03/2026 à 10:30" in french
    assert "could not be delivered to bob@b.mssante.fr" in english
    assert "What to do: check the address in the directory" in english
    assert "Pourquoi" not in english


def test_a_reason_known_here_replaces_the_one_deduced() -> None:
    refused = RecipientStatus("a@b", Action.FAILED, "5.7.1", reason_fr="Le domaine b n'est pas listé.", reason_en="No.")
    _, [words, _, _] = _read(render(_notification(refused)))
    text = words.get_content()
    assert "Pourquoi : Le domaine b n'est pas listé." in text
    assert "Why: No." in text
    assert "authentifier" not in text


@pytest.mark.parametrize(
    ("action", "title", "fact"),
    [
        (Action.DELIVERED, "Message remis", "a été remis à a@b."),
        (Action.RELAYED, "Message transmis", "a été transmis à l'opérateur de a@b"),
        (Action.EXPANDED, "Message distribué à une liste", "a été remis à la liste a@b"),
    ],
)
def test_good_news_needs_no_advice(action: Action, title: str, fact: str) -> None:
    parsed, [words, status, _] = _read(render(_notification(RecipientStatus("a@b", action, "2.0.0"))))
    assert parsed["Subject"].startswith(title)
    assert fact in words.get_content()
    assert "Que faire" not in words.get_content()
    assert _groups(status)[1]["Action"] == action.value


def test_the_title_tells_the_worst() -> None:
    good = RecipientStatus("a@b", Action.DELIVERED, "2.0.0")
    assert _read(render(_notification(good, DELAYED, FAILED)))[0]["Subject"].startswith("Message non remis")
    assert _read(render(_notification(good, DELAYED)))[0]["Subject"].startswith("Message retardé")


def test_the_header_alone_is_returned_unless_all_is_asked() -> None:
    _, [_, _, returned] = _read(render(_notification(FAILED)))
    assert returned.get_content_type() == "text/rfc822-headers"
    assert returned.get_payload() == HEAD.decode()
    _, [_, _, whole] = _read(render(_notification(FAILED, full=True)))
    assert whole.get_content_type() == "message/rfc822"
    assert whole.get_content()["Message-ID"] == "<7@a.mssante.fr>"
    assert "Bonjour" in whole.get_content().get_content()


def test_an_8_bit_message_is_returned_as_such_and_announced() -> None:
    message = render(_notification(FAILED, original=HEAD + "é\r\n".encode(), full=True))
    parsed, [_, _, whole] = _read(message)
    assert parsed["Content-Transfer-Encoding"] == whole["Content-Transfer-Encoding"] == "8bit"
    assert "é".encode() in message
    assert render(_notification(FAILED, original=HEAD + "é\r\n".encode())).isascii()


def test_addresses_that_are_not_ascii_take_the_forms_of_rfc_6533() -> None:
    rene = RecipientStatus("rené@b.mssante.fr", Action.FAILED, "5.1.1", original=r"utf-8;ren\x{E9}+2B@b.mssante.fr")
    message = render(_notification(rene, original="Subject: é\r\n\r\n".encode()))
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in message
    assert "\r\nFinal-Recipient: utf-8; rené@b.mssante.fr\r\n".encode() in message
    assert "\r\nOriginal-Recipient: utf-8; rené+@b.mssante.fr\r\n".encode() in message
    assert b"Content-Type: message/global-headers\r\n" in message
    full = render(_notification(rene, original="Subject: é\r\n\r\n".encode(), full=True))
    assert b"Content-Type: message/global\r\n" in full


def test_a_diagnostic_in_letters_that_are_not_ascii_stays_7_bit() -> None:
    status = RecipientStatus("a@b", Action.FAILED, "5.0.0", diagnostic="550 boîte fermée")
    message = render(_notification(status))
    assert message.isascii()
    assert "boîte fermée" in _read(message)[1][0].get_content()


TEXT = st.text(st.characters(codec="utf-8"), max_size=60)


@given(diagnostic=TEXT, original=TEXT, remote=TEXT, envelope_id=TEXT, head=st.binary(max_size=80))
def test_no_value_adds_a_field(diagnostic: str, original: str, remote: str, envelope_id: str, head: bytes) -> None:
    status = RecipientStatus("a@b", Action.FAILED, "5.0.0", original=original, remote_mta=remote, diagnostic=diagnostic)
    message = render(
        Notification(
            author="jean@a.mssante.fr",
            postmaster="postmaster@a.mssante.fr",
            reporting_mta="mx.a.mssante.fr",
            arrival=ARRIVAL,
            at=AT,
            recipients=(status,),
            original=head,
            envelope_id=envelope_id,
        )
    )
    machine = message.split(b"delivery-status\r\n")[-1].split(b"\r\n--=_")[0]
    names = [line.split(b":")[0] for line in machine.split(b"\r\n") if line and not line.startswith(b" ")]
    allowed = {b"Original-Envelope-Id", b"Reporting-MTA", b"Arrival-Date", b"Original-Recipient", b"Final-Recipient"}
    allowed |= {b"Action", b"Status", b"Remote-MTA", b"Diagnostic-Code", b"Content-Transfer-Encoding"}
    assert set(names) <= allowed
    assert len(names) == len(set(names))
    read = summary(message[: split_head(message)])
    assert (read.to, read.content_type) == ((("", "jean@a.mssante.fr"),), "multipart/report")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("5.1.1", "annuaire"),
        ("4.2.2", "pleine"),
        ("5.3.4", "volumineux"),
        ("4.4.1", "ne répond pas"),
        ("5.4.7", "toute la durée"),
        ("5.7.1", "authentifier"),
        ("5.7.25", "authentifier"),
        ("5.0.0", "n'a pas pu accepter"),
        ("", "n'a pas pu accepter"),
    ],
)
def test_every_status_has_words(status: str, words: str) -> None:
    found = explanation(status)
    assert words in found.why_fr + found.todo_fr
    assert found.why_en
    assert found.todo_en
