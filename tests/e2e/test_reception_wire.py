"""Bytes on the wire, honest or not: pipelining, chunks, smuggling, injection, garbage. One operator stands all of it."""

import random
import ssl

import pytest

from simulators.caller import Caller, letter
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import NORTH, SOUTH, TrustSpace

AUTHOR = NORTH.address("claire")


def test_a_pipelined_transaction_is_answered_in_order(space: TrustSpace, south: Operator) -> None:
    """RFC 2920."""
    good, bad = SOUTH.address("claire"), SOUTH.address("personne")
    content = letter(AUTHOR, good, "D'un trait")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        envelope = f"MAIL FROM:<{AUTHOR}>\r\nRCPT TO:<{bad}>\r\nRCPT TO:<{good}>\r\nDATA\r\n".encode()
        caller.write(envelope)
        assert [caller.answer().code for _ in range(4)] == [250, 550, 250, 354]
        caller.write(content + b".\r\nRSET\r\nNOOP\r\nQUIT\r\n")
        assert [caller.answer().code for _ in range(4)] == [250, 250, 250, 221]
    assert south.content(south.messages("claire")[0]).endswith(content)


@pytest.mark.parametrize("end", [b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"], ids=repr)
def test_no_other_end_of_data_than_crlf_dot_crlf_is_believed(space: TrustSpace, south: Operator, end: bytes) -> None:
    """SMTP smuggling: what follows a false end is content, so it never becomes a message of its own."""
    to = SOUTH.address("karim")
    smuggled = f"MAIL FROM:<{AUTHOR}>\r\nRCPT TO:<{to}>\r\nDATA\r\n".encode() + letter(
        AUTHOR, to, "Passager clandestin"
    )
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.envelope(AUTHOR, to)
        caller.say("DATA")
        caller.write(letter(AUTHOR, to) + end + smuggled + b".\r\n")
        answer = caller.answer()
        assert answer.status == "550 5.6.0"
        assert "CR ou un LF" in answer.text
        assert caller.say("NOOP").code == 250  # one answer for all of it, and the conversation goes on
        assert south.messages("karim") == []


def test_dots_and_long_lines_pass_intact(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("awa")
    content = letter(AUTHOR, to, text=".\n..\n.début\n" + "é" * 499 + "\n...fin\n" + "\n" * 300)
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [to], content, "BODY=8BITMIME").code == 250
        assert south.content(south.messages("awa")[0]).endswith(b"\r\n" + content)
        answer = caller.send(AUTHOR, [to], letter(AUTHOR, to, text="x" * 999))
        assert answer.status == "550 5.6.0"
        assert "plus de 1000 octets" in answer.text


def test_chunks_are_taken_as_they_come(space: TrustSpace, south: Operator) -> None:
    """RFC 3030: no dot is doubled, nothing in a chunk ends it, and the last may be empty."""
    to = SOUTH.address("lucie")
    content = letter(AUTHOR, to, text=".\nQUIT\n.\n")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.envelope(AUTHOR, to)
        for start, stop, last in ((0, 100, False), (100, 101, False), (101, len(content), False), (0, 0, True)):
            caller.write(f"BDAT {stop - start}{' LAST' if last else ''}\r\n".encode() + content[start:stop])
            assert caller.answer().code == 250
        (message,) = south.messages("lucie")
        assert south.content(message).endswith(b"\r\n" + content)
        # Pipelined whole, after DATA in the same session.
        caller.write(f"MAIL FROM:<{AUTHOR}>\r\nRCPT TO:<{to}>\r\nBDAT {len(content)} LAST\r\n".encode() + content)
        assert [caller.answer().code for _ in range(3)] == [250, 250, 250]


def test_a_chunk_for_nobody_is_skipped_and_never_read_as_commands(space: TrustSpace, south: Operator) -> None:
    chunk = b"QUIT\r\n" * 10
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.envelope(AUTHOR, SOUTH.address("personne"))
        caller.write(f"BDAT {len(chunk)} LAST\r\n".encode() + chunk + b"NOOP\r\n")
        assert [caller.answer().code for _ in range(2)] == [554, 250]


def test_addresses_with_accents_pass_when_declared(space: TrustSpace, south: Operator) -> None:
    """RFC 6531."""
    to = SOUTH.address("hugo")
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        assert caller.say("MAIL FROM:<rené@nord.mssante.fr>").status == "553 5.6.7"
        assert caller.send("rené@nord.mssante.fr", [to], letter(AUTHOR, to), "SMTPUTF8").code == 250
    source = south.content(south.messages("hugo")[0]).decode()
    assert source.startswith("Return-Path: <rené@nord.mssante.fr>\r\n")
    assert " with UTF8SMTPS id " in source


def test_commands_slipped_in_before_the_handshake_are_never_run(space: TrustSpace, south: Operator) -> None:
    """RFC 3207 §5: an attacker on the line adds commands to STARTTLS, to have them run under the peer's identity."""
    injected = f"EHLO x\r\nMAIL FROM:<{AUTHOR}>\r\n".encode()
    with Caller(south.port) as caller:
        caller.say("EHLO caller.example")
        caller.write(b"STARTTLS\r\n" + injected)
        answer = caller.answer()
        assert answer.status == "554 5.5.1"
        assert "Des donnees suivent STARTTLS" in answer.text
        assert caller.closed()
    with Caller(south.port) as caller:
        caller.say("EHLO caller.example")
        assert caller.say("STARTTLS").code == 220
        caller.write(injected)
        assert caller.closed()
    until(lambda: south.journal("peer-refusal", "PlaintextAfterStartTlsError"), "the first is journalled")
    until(lambda: south.journal("peer-refusal", "tls-failure"), "the second is journalled")


def test_what_was_said_in_clear_is_forgotten(space: TrustSpace, south: Operator) -> None:
    with Caller(south.port) as caller:
        assert "STARTTLS" in caller.say("EHLO forged.example").lines
        caller.say("STARTTLS")
        caller.shake_hands(space.identity(NORTH))
        assert caller.say(f"MAIL FROM:<{AUTHOR}>").code == 503
        offered = caller.say("EHLO caller.example").lines
        assert "STARTTLS" not in offered
        assert {"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES"} <= set(offered)
        assert any(line.startswith("SIZE ") for line in offered)
        assert caller.say("STARTTLS").code == 503


@pytest.mark.parametrize("secured", [False, True], ids=["in clear", "under TLS"])
def test_garbage_gets_refusals_then_the_door(space: TrustSpace, south: Operator, secured: bool) -> None:
    chance = random.Random(5)
    for _ in range(8):
        caller = Caller.secured(south.port, space.identity(NORTH)) if secured else Caller(south.port)
        with caller:
            try:
                caller.write(chance.randbytes(4000).replace(b"\n", b"\r\n") + b"\r\n")
                while True:
                    assert 400 <= caller.answer().code < 600
            except (ConnectionError, ssl.SSLError):
                pass
    with Caller(south.port) as caller:
        for _ in range(20):
            assert caller.say("FAIRE DU CAFE").status == "500 5.5.2"
        assert caller.say("FAIRE DU CAFE").status == "421 4.7.0"
        assert caller.closed()
    with Caller(south.port) as caller:
        caller.write(b"NOOP " + b"x" * 5000)
        assert caller.answer().status == "500 5.5.2"
        assert caller.closed()
    with Caller(south.port) as caller:
        caller.write(b"NOOP\nQUIT\r\n")
        assert caller.answer().status == "500 5.5.2"
        assert caller.closed()


def test_garbage_instead_of_a_handshake_ends_the_connection(south: Operator) -> None:
    with Caller(south.port) as caller:
        caller.say("EHLO caller.example")
        caller.say("STARTTLS")
        caller.write(random.Random(6).randbytes(3000))
        assert caller.closed()


def test_a_peer_that_goes_away_in_mid_message_leaves_nothing(space: TrustSpace, south: Operator) -> None:
    to = SOUTH.address("ines")
    for content in (
        b"Subject: court\r\n\r\ncoup",
        b"Subject: long\r\n\r\n" + b"x" * 76 + b"\r\n" + (b"y" * 76 + b"\r\n") * 9000,
    ):
        with Caller.secured(south.port, space.identity(NORTH)) as caller:
            caller.envelope(AUTHOR, to)
            caller.say("DATA")
            caller.write(content)
    spool = south.folder / "data" / "spool"
    until(lambda: not list(spool.iterdir()), "the spool is empty")
    assert south.messages("ines") == []


def test_a_reset_forgets_the_envelope(space: TrustSpace, south: Operator) -> None:
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        for forget in ("RSET", "EHLO again.example"):
            caller.envelope(AUTHOR, SOUTH.address("ines"))
            assert caller.say(forget).code == 250
            assert caller.say("DATA").code == 503
        assert caller.say("VRFY claire").code == 252
        assert caller.say("EXPN tous").code == 502
        assert caller.say("AUTH PLAIN").code == 502
        assert caller.say("HELP").code == 214
