"""Mail on its way to another operator's server, whatever that server does: it arrives once, or its author is told."""

import random
import re
from typing import Any

import pytest

from simulators.caller import Caller, letter
from simulators.notices import read_notice
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.peer import CUT, HANG, Action, Gate, ScriptedPeer
from simulators.space import NORTH, SOUTH, THIRD, TrustSpace
from vaguemestre.documents.compose import Attachment
from vaguemestre.mailstore.model import Role
from vaguemestre.protocols.smtp.replies import Reply
from vaguemestre.transport import relay
from vaguemestre.transport.envelope import Envelope, Recipient

AUTHOR, TO = NORTH.address("claire"), THIRD.address("awa")
BUSY = Reply(450, "4.2.0", ("Greylisted, come back later",))
STAGES = ("connect", "EHLO", "STARTTLS", "handshake", "MAIL", "RCPT", "DATA", "content", "end")


def sender(operator: OperatorFactory, peer: ScriptedPeer, **queue: Any) -> Operator:
    """A running operator whose mail for the third one goes to `peer`; it tries again after 60 ms, then 120 ms…"""
    return operator(NORTH, queue={"routes": {THIRD.domain: peer.route}, "pause_scale": 0.001, **queue}).start()


def settled(north: Operator) -> None:
    """Wait until nothing waits."""
    until(lambda: not north.queued(), "the queue is empty")


def test_a_greylisted_message_is_sent_again_and_nobody_is_troubled(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    with ScriptedPeer(space.identity(THIRD), script={"RCPT": [BUSY, BUSY]}) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO])
        peer.takes()
        settled(north)
    assert [entry.facts["status"] for entry in north.journal("deferral")] == ["4.2.0", "4.2.0"]
    assert north.journal("relay")[0].facts["attempt"] == "3"
    assert north.messages("claire") == []


@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "end"])
def test_a_message_that_is_refused_for_good_comes_back_with_words_for_its_author(
    space: TrustSpace, operator: OperatorFactory, stage: str
) -> None:
    script: dict[str, list[Action]] = {stage: [Reply(550, "5.1.1", ("No such user here", "really"))]}
    with ScriptedPeer(space.identity(THIRD), script=script) as peer:
        north = sender(operator, peer)
        sent = north.send("claire", [TO], "Radio panoramique")
        notice = read_notice(north.only_message("claire"))
        settled(north)
        assert peer.taken == []
    assert notice.subject == "Message non remis (Undelivered message) : Radio panoramique"
    assert "Votre message « Radio panoramique »" in notice.french
    assert f"n'a pas pu être remis à {TO}" in notice.french
    assert "Pourquoi : cette adresse n'existe pas" in notice.french
    assert "Que faire : vérifiez l'adresse dans l'annuaire" in notice.french
    assert "No such user here really" in notice.french
    assert "could not be delivered" in notice.words
    assert notice.fields["Action"] == "failed"
    assert notice.fields["Status"] == "5.1.1"
    assert notice.fields["Final-Recipient"] == f"rfc822; {TO}"
    assert notice.fields["Diagnostic-Code"] == "smtp; 550 5.1.1 No such user here really"
    assert notice.fields["Reporting-MTA"] == f"dns; {NORTH.host}"
    assert "Subject: Radio panoramique" in notice.returned
    assert "Bien à vous" not in notice.returned
    (entry,) = north.journal("bounce")
    assert entry.subject == sent.id


def test_a_message_that_nobody_takes_in_time_is_told_late_then_failed(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    with ScriptedPeer(space.identity(THIRD), always={"RCPT": Reply(451, "4.3.0", ("Try later",))}) as peer:
        north = sender(operator, peer, warn_after=0.3, give_up_after=3.0)
        north.send("claire", [TO])
        until(lambda: len(north.messages("claire")) == 2, "two notifications")
        settled(north)
    failed, late = (read_notice(north.content(message)) for message in north.messages("claire"))
    assert late.fields["Action"] == "delayed"
    assert late.fields["Status"] == "4.3.0"
    assert "Will-Retry-Until" in late.fields
    assert "tenté de nouveau automatiquement" in late.french
    assert failed.fields["Action"] == "failed"
    assert failed.fields["Status"] == "5.4.7"
    assert "Aucune nouvelle tentative" in failed.french
    assert "pendant toute la durée des tentatives" in failed.french
    assert "451 4.3.0 Try later" in failed.french


def test_messages_follow_one_another_over_one_connection(space: TrustSpace, operator: OperatorFactory) -> None:
    with ScriptedPeer(space.identity(THIRD)) as peer:
        north = sender(operator, peer)
        for number in range(1, 6):
            north.send("claire", [TO], f"Lettre {number}")
            peer.takes(number)
        settled(north)
        assert peer.connections == 1
        assert [re.search(rb"Subject: (.*)\r\n", each.content)[1] for each in peer.taken] == [  # type: ignore[index]
            f"Lettre {number}".encode() for number in range(1, 6)
        ]


def test_a_refusal_ends_its_own_message_and_not_the_connection(space: TrustSpace, operator: OperatorFactory) -> None:
    with ScriptedPeer(space.identity(THIRD), script={"RCPT": [Reply(550, "5.1.1", ("No",))]}) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO], "Une")
        north.only_message("claire")
        north.send("claire", [TO], "Deux")
        peer.takes()
        assert peer.connections == 1


def test_a_line_that_the_peer_closed_meanwhile_delays_nothing(space: TrustSpace, operator: OperatorFactory) -> None:
    """A server that restarts says 421 on idle lines: the next message goes over a new one, at once."""
    with ScriptedPeer(space.identity(THIRD)) as peer:
        north = sender(operator, peer, pause_scale=1000.0)
        for number in (1, 2, 3):
            north.send("claire", [TO], f"Lettre {number}")
            peer.takes(number)
            settled(north)
            peer.hang_up(Reply(421, "4.3.2", ("Restarting",)))
        assert peer.connections == 3
    assert north.journal("deferral") == []


def test_a_destination_gets_its_share_of_connections_and_no_more(space: TrustSpace, operator: OperatorFactory) -> None:
    gate = Gate()
    with (
        ScriptedPeer(space.identity(THIRD), always={"MAIL": gate}) as slow,
        ScriptedPeer(space.identity(SOUTH)) as quick,
    ):
        routes = {THIRD.domain: slow.route, SOUTH.domain: quick.route}
        north = operator(NORTH, queue={"routes": routes, "concurrency": 3, "concurrency_per_domain": 2}).start()
        for number in range(6):
            north.send("claire", [TO], f"Lettre {number}")
        until(lambda: gate.waiting == 2, "two conversations with the slow one")
        north.send("claire", [SOUTH.address("karim")])
        quick.takes()
        assert slow.most_at_once == 2
        gate.open()
        slow.takes(6)
        settled(north)
        assert slow.most_at_once == 2


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_cuts_the_line_gets_the_message_later_and_once(
    space: TrustSpace, operator: OperatorFactory, stage: str
) -> None:
    with ScriptedPeer(space.identity(THIRD), script={stage: [CUT]}) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO])
        peer.takes()
        settled(north)
        assert len(peer.taken) == 1
        assert peer.taken[0].content == north.only_message("claire", Role.SENT)
    (deferral,) = north.journal("deferral")
    assert deferral.facts["status"] in ("4.4.1", "4.4.2")
    assert north.messages("claire") == []


@pytest.mark.parametrize("stage", STAGES)
def test_a_server_that_says_nothing_any_more_is_left(space: TrustSpace, operator: OperatorFactory, stage: str) -> None:
    with ScriptedPeer(space.identity(THIRD), always={stage: HANG}) as peer:
        with pytest.MonkeyPatch.context() as hurry:
            for limit in ("_CONNECT_S", "_REPLY_S", "_CONTENT_REPLY_S"):
                hurry.setattr(relay, limit, 0.3)
            north = sender(operator, peer)
            north.send("claire", [TO])
            (deferral, *_) = until(lambda: north.journal("deferral"), "the attempt is given up")
        peer.always.clear()
        peer.takes()
        settled(north)
        assert len(peer.taken) == 1
    assert "does not answer in time" in deferral.personal["why"]  # type: ignore[index]


@pytest.mark.parametrize(
    "script",
    [{"STARTTLS": [Reply(454, "4.7.0", ("Not now",))]}, {"connect": [Reply(554, "", ("No service",))]}],
    ids=str,
)
def test_a_server_that_turns_us_away_is_tried_again(
    space: TrustSpace, operator: OperatorFactory, script: dict[str, list[Action]]
) -> None:
    with ScriptedPeer(space.identity(THIRD), script=script) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO])
        peer.takes()
        settled(north)
    (deferral,) = north.journal("deferral")
    assert "refuses to talk" in deferral.personal["why"]  # type: ignore[index]


def test_each_recipient_has_a_fate_of_his_own(space: TrustSpace, operator: OperatorFactory) -> None:
    gone = THIRD.address("parti")
    with ScriptedPeer(space.identity(THIRD), script={"RCPT": [Reply(550, "5.1.1", ("Gone",))]}) as peer:
        north = sender(operator, peer, concurrency=1)
        north.send("claire", [gone, TO, NORTH.address("claire")])
        settled(north)
        assert [str(each.recipients[0].forward_path.text) for each in peer.taken] == [TO]
    notice, _ = (north.content(message) for message in north.messages("claire"))
    assert read_notice(notice).fields["Final-Recipient"] == f"rfc822; {gone}"


def test_a_message_too_large_for_the_server_is_not_even_begun(space: TrustSpace, operator: OperatorFactory) -> None:
    with ScriptedPeer(space.identity(THIRD), size=10_000) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO], attachments=[Attachment("grand.bin", bytes(20_000))])
        notice = read_notice(north.only_message("claire"))
        assert b"MAIL FROM" not in peer.heard
    assert notice.fields["Status"] == "5.3.4"
    assert "10000 octets" in notice.french
    assert "moins de pièces jointes" in notice.french


@pytest.mark.parametrize("hidden", [(), ("CHUNKING",), ("PIPELINING",), ("SIZE", "DSN", "8BITMIME")], ids=str)
def test_a_large_message_arrives_intact_by_chunks_or_not(
    space: TrustSpace, operator: OperatorFactory, hidden: tuple[str, ...]
) -> None:
    picture = random.Random(7).randbytes(5_000_000)
    with ScriptedPeer(space.identity(THIRD), offers_not=hidden) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO], attachments=[Attachment("radio.bin", picture)])
        (taken,) = peer.takes()
        assert taken.content == north.only_message("claire", Role.SENT)
        assert taken.chunked == (not {"CHUNKING", "PIPELINING"} & set(hidden))
        assert taken.mail.size == (None if "SIZE" in hidden else len(taken.content))


def test_a_server_that_refuses_in_mid_content_is_heard(space: TrustSpace, operator: OperatorFactory) -> None:
    script: dict[str, list[Action]] = {"content": [Reply(552, "5.3.4", ("Enough",))]}
    with ScriptedPeer(space.identity(THIRD), script=script) as peer:
        north = sender(operator, peer)
        north.send("claire", [TO], attachments=[Attachment("radio.bin", bytes(30_000_000))])
        notice = read_notice(north.only_message("claire"))
        assert notice.fields["Status"] == "5.3.4"
        assert "552 5.3.4 Enough" in notice.french
        assert peer.unwanted < 20_000_000


def test_what_a_server_cannot_carry_comes_back(space: TrustSpace, operator: OperatorFactory) -> None:
    content = letter(AUTHOR, TO, text="Déjà vu")
    with ScriptedPeer(space.identity(THIRD), offers_not=["8BITMIME"]) as peer:
        north = sender(operator, peer)
        north.submit(Envelope(AUTHOR, (Recipient(TO),)), content)
        assert read_notice(north.only_message("claire")).fields["Status"] == "5.6.7"
        assert b"MAIL FROM" not in peer.heard
    with ScriptedPeer(space.identity(THIRD), port=peer.port) as peer:
        north.submit(Envelope(AUTHOR, (Recipient(TO),)), content)
        assert peer.takes()[0].mail.body == "8BITMIME"


def test_a_request_for_a_receipt_is_passed_on_to_a_server_that_gives_them(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    """RFC 3461 §5.2.1."""
    recipient = Recipient(TO, frozenset({"SUCCESS", "FAILURE"}), f"rfc822;{TO}")
    with ScriptedPeer(space.identity(THIRD)) as peer:
        north = sender(operator, peer)
        north.send("claire", [recipient], returned="HDRS", envelope_id="lettre=1")
        (taken,) = peer.takes()
        settled(north)
        (rcpt,) = taken.recipients
        assert rcpt.notify == {"SUCCESS", "FAILURE"}
        assert rcpt.orcpt == f"rfc822;{TO}"
        assert taken.mail.envid == "lettre=1"
        assert taken.mail.ret == "HDRS"
    assert north.messages("claire") == []


def test_where_the_server_gives_no_receipts_the_author_learns_that_it_was_relayed(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    """RFC 3461 §5.2.2."""
    with ScriptedPeer(space.identity(THIRD), offers_not=["DSN"]) as peer:
        north = sender(operator, peer)
        north.send("claire", [Recipient(TO, frozenset({"SUCCESS"}))], envelope_id="lettre=1")
        notice = read_notice(north.only_message("claire"))
        assert b"NOTIFY" not in peer.heard
        north.send("claire", [TO])
        peer.takes(2)
        settled(north)
    assert notice.fields["Action"] == "relayed"
    assert notice.fields["Original-Envelope-Id"] == "lettre=1"
    assert "a été transmis à l'opérateur" in notice.french
    assert len(north.messages("claire")) == 1


def test_who_asked_never_to_be_told_is_not(space: TrustSpace, operator: OperatorFactory) -> None:
    with ScriptedPeer(space.identity(THIRD), always={"RCPT": Reply(550, "5.1.1", ("No",))}) as peer:
        north = sender(operator, peer)
        north.send("claire", [Recipient(TO, frozenset({"NEVER"}))])
        until(lambda: north.journal("bounce"), "it is refused")
        settled(north)
    assert north.messages("claire") == []


def test_a_notification_that_is_refused_is_not_answered_by_another(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    with ScriptedPeer(space.identity(THIRD), script={"RCPT": [Reply(550, "5.1.1", ("No",))]}) as peer:
        north = sender(operator, peer)
        with Caller.secured(north.port, space.identity(THIRD)) as caller:
            caller.say(f"MAIL FROM:<{TO}>")
            caller.say(f"RCPT TO:<{AUTHOR}> NOTIFY=SUCCESS")
            caller.say("DATA")
            caller.write(letter(TO, AUTHOR, "Avec retour") + b".\r\n")
            assert caller.answer().code == 250
        until(lambda: north.journal("bounce"), "the notification is refused")
        settled(north)
        assert b"MAIL FROM:<> " in peer.heard
        assert peer.taken == []
    assert len(north.journal("notification")) == 1
