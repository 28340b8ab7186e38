"""What an operator does with the recipients and the messages of a peer that it admits: accept, refuse, recognise."""

import re
from email import message_from_bytes, policy

import pytest

from simulators.caller import Caller, letter
from simulators.notices import read_notice
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre.mailstore import accounts
from vaguemestre.mailstore.model import AccountState
from vaguemestre.transport.envelope import Recipient

AUTHOR = NORTH.address("claire")


def test_an_unknown_recipient_is_refused_and_the_others_get_the_message(space: TrustSpace, south: Operator) -> None:
    nobody, known = SOUTH.address("personne"), SOUTH.address("lucie")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        _, unknown, good = caller.envelope(AUTHOR, nobody, known)
        assert unknown.status == "550 5.1.1"
        assert f"Il n'y a pas de boite {nobody} ici" in unknown.text
        assert "There is no mailbox" in unknown.text
        assert good.status == "250 2.1.5"
        assert caller.say("DATA").code == 354
        caller.write(letter(AUTHOR, known) + b".\r\n")
        assert caller.answer().code == 250
    assert len(south.messages("lucie")) == 1
    (entry,) = until(lambda: south.journal("refusal", "UnknownAccountError"), "the refusal is journalled")
    assert entry.facts["code"] == "550 5.1.1"
    assert entry.personal == {"from": AUTHOR, "to": nobody}


def test_without_an_accepted_recipient_no_content_is_taken(space: TrustSpace, south: Operator) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.envelope(AUTHOR, SOUTH.address("personne"))
        answer = caller.say("DATA")
        assert answer.status == "554 5.5.1"
        assert "Aucun destinataire" in answer.text


@pytest.mark.parametrize("domain", ["nord.mssante.fr", "tiers.mssante.fr", "example.org", "sous.sud.mssante.fr"])
def test_mail_for_another_operator_is_not_relayed(space: TrustSpace, south: Operator, domain: str) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        _, answer = caller.envelope(AUTHOR, f"claire@{domain}")
        assert answer.status == "550 5.7.1"
        assert f"ne recoit pas le courrier de {domain}" in answer.text
        assert f"takes no mail for {domain}" in answer.text


def test_domains_and_local_parts_are_known_in_any_case(space: TrustSpace, south: Operator) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert [each.code for each in caller.envelope(AUTHOR, "HUGO@Sud.MsSante.FR")] == [250, 250]


def test_a_closed_account_is_refused_and_a_suspended_one_still_receives(space: TrustSpace, south: Operator) -> None:
    south.write(accounts.change_state, SOUTH.address("paul"), AccountState.CLOSED)
    south.write(accounts.change_state, SOUTH.address("rose"), AccountState.SUSPENDED)
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        _, closed, suspended = caller.envelope(AUTHOR, SOUTH.address("paul"), SOUTH.address("rose"))
        assert closed.status == "550 5.2.1"
        assert "boite est fermee" in closed.text
        assert suspended.code == 250


def test_a_full_mailbox_is_refused_for_now_by_the_size_announced(space: TrustSpace, south: Operator) -> None:
    full = SOUTH.address("plein")
    south.write(accounts.change_quota, full, 10_000)
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        _, answer = caller.envelope(AUTHOR, full, options="SIZE=20000")
        assert answer.status == "452 4.2.2"
        assert "boite du destinataire est pleine" in answer.text
        caller.say("RSET")
        # What fits is taken; the message that crosses the limit is the last.
        assert (
            caller.send(AUTHOR, [full], letter(AUTHOR, full, text="x" * 900 + "\n" + "y" * 900), "SIZE=9000").code
            == 250
        )
        for number in range(6):
            caller.envelope(AUTHOR)
            answer = caller.say(f"RCPT TO:<{full}>")
            caller.say("RSET")
            if answer.code != 250:
                break
            caller.send(AUTHOR, [full], letter(AUTHOR, full, f"{number}", text="\n".join(["z" * 900] * 4)))
        assert answer.status == "452 4.2.2"


def test_two_addresses_of_one_account_get_one_copy(space: TrustSpace, south: Operator) -> None:
    own, other = SOUTH.address("sami"), SOUTH.address("secretariat.sami")
    south.write(accounts.add_address, own, other)
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [own, other, own], letter(AUTHOR, own)).code == 250
    assert len(south.messages("sami")) == 1


def test_what_a_peer_sends_again_is_recognised_and_not_doubled(space: TrustSpace, south: Operator) -> None:
    to, another = SOUTH.address("zoe"), SOUTH.address("ines")
    content = letter(AUTHOR, to, "Une seule fois")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        first = caller.send(AUTHOR, [to], content)
        again = caller.send(AUTHOR, [to], content)
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        third = caller.send(AUTHOR, [to], content)
        assert first.text.startswith("Delivered as ")
        assert again.text == third.text == first.text.replace("Delivered", "Already delivered")
        assert len(south.messages("zoe")) == 1
        # Another recipient, sender or content makes another message.
        assert caller.send(AUTHOR, [to, another], content).text.startswith("Delivered")
        assert caller.send(AUTHOR, [to], content.replace(b"mot", b"MOT")).text.startswith("Delivered")
        assert caller.send("", [to], content).text.startswith("Delivered")
    assert [len(south.messages(person)) for person in ("zoe", "ines")] == [3, 1]
    assert len(south.journal("repetition")) == 2


def test_a_message_that_goes_round_in_circles_is_refused(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("claire")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        hop = "Received: from x by y; Mon, 02 Mar 2026 10:00:00 +0100\r\n"
        answer = caller.send(AUTHOR, [to], (hop * 51).encode() + letter(AUTHOR, to))
        assert answer.status == "554 5.4.6"
        assert "tourne en rond" in answer.text
        assert "going round in circles" in answer.text
        assert caller.send(AUTHOR, [to], (hop * 50).encode() + letter(AUTHOR, to)).code == 250
    assert len(south.messages("claire")) == 1
    until(lambda: south.journal("refusal", "LoopError"), "the refusal is journalled")


def test_the_trace_says_who_spoke_under_which_certificate(space: TrustSpace, south: Operator) -> None:
    """RFC 5321 §4.4: Return-Path first, then one Received of ours, above what the message brought."""
    to = SOUTH.address("awa")
    content = letter(AUTHOR, to, "Trace", extra="Received: from avant by ailleurs; Mon, 02 Mar 2026 09:00:00 +0100")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        said, tls = caller.send(AUTHOR, [to], content), caller.tls
    source = south.content(south.messages("awa")[0])
    assert source.endswith(content)
    message = message_from_bytes(source, policy=policy.compat32)
    assert message.keys()[:3] == ["Return-Path", "Received", "From"]
    assert message["Return-Path"] == f"<{AUTHOR}>"
    received = " ".join(message.get_all("Received")[0].split())
    identifier = re.fullmatch(r"Delivered as (\S+)", said.text)
    assert identifier is not None
    assert received.startswith(
        f"from caller.example ([127.0.0.1]) (using {tls}, client certificate "
        "CN=mail.nord.mssante.fr,OU=1590000001,O=C.H. NORD\\\\, SITE A,ST=Nord \\(59\\),C=FR) "
        f"by {SOUTH.host} (Vaguemestre) with ESMTPS id {identifier[1]} for <{to}>; "
    )
    assert all(len(line) <= 998 for line in source.splitlines())


def test_recipients_do_not_learn_of_each_other_by_the_trace(space: TrustSpace, south: Operator) -> None:
    one, other = SOUTH.address("hugo"), SOUTH.address("ines")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [one, other], letter(AUTHOR, one, "En copie invisible")).code == 250
    assert b"ines" not in south.content(south.messages("hugo")[0])


def test_a_remote_author_who_asked_is_told_of_the_delivery(space: TrustSpace, south: Operator) -> None:
    """RFC 3461 §5.2.2: we deliver, so we tell. The notice waits in our queue for the author's operator."""
    to = SOUTH.address("karim")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.say(f"MAIL FROM:<{AUTHOR}> RET=HDRS ENVID=QQ+2B314159")
        caller.say(f"RCPT TO:<{to}> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;Karim@sud.mssante.fr")
        caller.say("DATA")
        caller.write(letter(AUTHOR, to, "Avec retour") + b".\r\n")
        assert caller.answer().code == 250
    (row,) = [row for row in south.queued() if row.recipient.address == AUTHOR]
    assert row.envelope.reverse_path == ""
    report = south.read(south.stores.blobs.open, row.blob_id).read().decode()
    assert "Subject: " in report
    assert "Action: delivered" in report
    assert "Original-Envelope-Id: QQ+314159" in report
    assert "Original-Recipient: rfc822; Karim@sud.mssante.fr" in report
    assert f"Final-Recipient: rfc822; {to}" in report
    assert "Content-Type: text/rfc822-headers" in report


def test_a_delivery_is_told_once_though_the_message_comes_again_for_more_recipients(
    space: TrustSpace, south: Operator
) -> None:
    known, new = SOUTH.address("sami"), SOUTH.address("zoe")
    content, waiting = letter(AUTHOR, known, "Deux fois"), {row.id for row in south.queued()}
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        for recipients in ((known,), (known, new)):
            caller.say(f"MAIL FROM:<{AUTHOR}>")
            for each in recipients:
                caller.say(f"RCPT TO:<{each}> NOTIFY=SUCCESS")
            caller.say("DATA")
            caller.write(content + b".\r\n")
            assert caller.answer().code == 250
    reports = [
        south.read(south.stores.blobs.open, row.blob_id).read().decode()
        for row in south.queued()
        if row.id not in waiting
    ]
    told = [re.findall(r"Final-Recipient: rfc822; (\S+)", report) for report in reports]
    assert sorted(told) == [[known], [new]]


def test_nobody_is_told_of_the_delivery_of_a_notification(space: TrustSpace, south: Operator) -> None:
    to, waiting = SOUTH.address("karim"), len(south.queued())
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.say("MAIL FROM:<>")
        caller.say(f"RCPT TO:<{to}> NOTIFY=SUCCESS")
        caller.say("DATA")
        caller.write(letter("postmaster@nord.mssante.fr", to, "Avis") + b".\r\n")
        assert caller.answer().code == 250
    assert len(south.queued()) == waiting


def test_mail_for_postmaster_is_asked_of_the_account_of_that_name(space: TrustSpace, south: Operator) -> None:
    """RFC 5321 §4.1.1.3: RCPT TO:<Postmaster>, without a domain."""
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        _, answer = caller.envelope(AUTHOR, "<Postmaster>")
        assert "postmaster@sud.mssante.fr" in answer.text


def test_several_messages_pass_over_one_connection_in_order(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("lucie")
    before = len(south.messages("lucie"))
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        for number in range(5):
            assert caller.send(AUTHOR, [to], letter(AUTHOR, to, f"Lettre {number}")).code == 250
        assert caller.say("QUIT").code == 221
        assert caller.closed()
    subjects = [message.summary.subject for message in south.messages("lucie")[: -before or None]]
    assert subjects == [f"Lettre {number}" for number in (4, 3, 2, 1, 0)]


def test_a_colleague_who_asked_is_told_of_the_delivery_at_once(south: Operator) -> None:
    """RFC 3461 §5.2.2, between two accounts of one operator."""
    to = SOUTH.address("ines")
    before = len(south.messages("rose"))
    south.write(accounts.change_state, SOUTH.address("rose"), AccountState.ACTIVE)
    south.send("rose", [Recipient(to, frozenset({"SUCCESS"}))], "Entre nous", envelope_id="lettre 1")
    assert len(south.messages("rose")) == before + 1
    notice = read_notice(south.content(south.messages("rose")[0]))
    assert notice.fields["Action"] == "delivered"
    assert notice.fields["Final-Recipient"] == f"rfc822; {to}"
    assert notice.fields["Original-Envelope-Id"] == "lettre 1"
    assert f"a été remis à {to}" in notice.french
