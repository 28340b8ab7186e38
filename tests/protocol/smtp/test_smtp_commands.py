"""A command line becomes the command it spells, or the fault that says what is wrong with it."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.smtp import faults
from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.commands import (
    Auth,
    Bdat,
    Body,
    Command,
    Data,
    Ehlo,
    Expn,
    Helo,
    Help,
    Mail,
    Noop,
    Notify,
    Quit,
    Rcpt,
    Returned,
    Rset,
    StartTls,
    Vrfy,
    encode_xtext,
    parse_command,
)

ANNE = Address("anne", "a.example", "anne@a.example")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        (b"EHLO mx.a.example", Ehlo("mx.a.example")),
        (b"helo  [192.0.2.1] ", Helo("[192.0.2.1]")),
        (b"StartTLS", StartTls()),
        (b"AUTH plain", Auth("PLAIN")),
        (b"AUTH PLAIN =", Auth("PLAIN", "=")),
        (b"AUTH XOAUTH2 dXNlcg==", Auth("XOAUTH2", "dXNlcg==")),
        (b"MAIL FROM:<>", Mail(None)),
        (b"mail From: <anne@A.example>", Mail(ANNE)),
        (b"MAIL FROM:<anne@a.example> SIZE=0", Mail(ANNE, size=0)),
        (
            b"MAIL FROM:<anne@a.example>  size=1000 Body=8bitmime SMTPUTF8 RET=full ENVID=a+2Bb+20c",
            Mail(ANNE, 1000, Body.EIGHT_BIT, True, Returned.FULL, "a+b c"),
        ),
        (b"RCPT TO:<anne@a.example>", Rcpt(ANNE)),
        (b"RCPT TO:<anne@a.example> NOTIFY=never", Rcpt(ANNE, frozenset({Notify.NEVER}))),
        (
            b"RCPT TO:<anne@a.example> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;Bob+2Bx@b.example",
            Rcpt(ANNE, frozenset({Notify.SUCCESS, Notify.DELAY}), "rfc822;Bob+x@b.example"),
        ),
        ("RCPT TO:<anne@a.example> ORCPT=UTF-8;zoé@b.example".encode(), Rcpt(ANNE, orcpt="utf-8;zoé@b.example")),
        (b"DATA", Data()),
        (b"DATA \t", Data()),
        (b"BDAT 86", Bdat(86, False)),
        (b"BDAT 0  Last", Bdat(0, True)),
        (b"RSET", Rset()),
        (b"NOOP whatever", Noop()),
        (b"QUIT\t", Quit()),
        (b"VRFY anne", Vrfy("anne")),
        (b"EXPN staff", Expn("staff")),
        (b"HELP", Help("")),
    ],
)
def test_command_is_read(line: bytes, command: Command) -> None:
    assert parse_command(line) == command


MAIL = b"MAIL FROM:<anne@a.example> "
RCPT = b"RCPT TO:<anne@a.example> "


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"", faults.UnknownCommandError),
        (b"\xff\xfe", faults.UnknownCommandError),
        (b"MAILFROM:<a@b.example>", faults.UnknownCommandError),
        (b"EHLO", faults.ArgumentError),
        (b"EHLO a b", faults.ArgumentError),
        (b"EHLO \xff", faults.ArgumentError),
        (b"EHLO a\x00b", faults.ArgumentError),
        (b"EHLO " + b"a" * 256, faults.ArgumentError),
        (b"STARTTLS please", faults.ArgumentError),
        (b"AUTH", faults.ArgumentError),
        (b"AUTH PLAIN not base64", faults.ArgumentError),
        (b"MAIL", faults.ArgumentError),
        (b"MAIL TO:<a@b.example>", faults.ArgumentError),
        (b"MAIL FROM:a@b.example", faults.ReversePathError),
        (b"MAIL FROM:<a@b.example>SIZE=1", faults.ArgumentError),
        (b"MAIL FROM:<postmaster>", faults.ReversePathError),
        (MAIL + b"SIZE=x", faults.ArgumentError),
        (MAIL + "SIZE=１".encode(), faults.ArgumentError),
        (MAIL + b"SIZE=" + b"9" * 21, faults.ArgumentError),
        (MAIL + b"SIZE", faults.ArgumentError),
        (MAIL + b"SIZE=", faults.ArgumentError),
        (MAIL + b"SIZE=1 SIZE=1", faults.ParameterError),
        (MAIL + b"BODY=BINARYMIME", faults.ArgumentError),
        (MAIL + b"SMTPUTF8=yes", faults.ArgumentError),
        (MAIL + b"SMTPUTF8=", faults.ArgumentError),
        (MAIL + b"RET=ALL", faults.ArgumentError),
        (MAIL + b"ENVID=a=b", faults.ArgumentError),
        (MAIL + b"ENVID=a+0D+0Ab", faults.ArgumentError),
        (MAIL + b"ENVID=a+zz", faults.ArgumentError),
        (MAIL + b"ENVID=+FF", faults.ArgumentError),
        (MAIL + b"ENVID=" + b"a" * 101, faults.ArgumentError),
        (MAIL + b"AUTH=<>", faults.ParameterError),
        (MAIL + b"NOTIFY=NEVER", faults.ParameterError),
        (RCPT + b"NOTIFY=NEVER,SUCCESS", faults.ArgumentError),
        (RCPT + b"NOTIFY=SOMETIMES", faults.ArgumentError),
        (RCPT + b"ORCPT=anne@a.example", faults.ArgumentError),
        (RCPT + b"ORCPT=rfc822;", faults.ArgumentError),
        (RCPT + b"ORCPT=rfc822;a+0Ab", faults.ArgumentError),
        (RCPT + "ORCPT=rfc822;zoé@b.example".encode(), faults.ArgumentError),
        (RCPT + b"SIZE=1", faults.ParameterError),
        (b"RCPT TO:<>", faults.ForwardPathError),
        (b"RCPT TO:anne", faults.ForwardPathError),
        (b"DATA now", faults.ArgumentError),
        (b"BDAT", faults.ChunkSizeError),
        (b"BDAT -1", faults.ChunkSizeError),
        (b"BDAT 1 FIRST", faults.ChunkSizeError),
        (b"BDAT \xff", faults.ChunkSizeError),
        (b"BDAT " + b"9" * 20, faults.ChunkSizeError),
        (b"QUIT now", faults.ArgumentError),
    ],
)
def test_fault_is_named(line: bytes, fault: type[faults.PeerError]) -> None:
    with pytest.raises(faults.PeerError) as caught:
        parse_command(line)
    assert type(caught.value) is fault


@given(st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
def test_xtext_survives_the_wire(text: str) -> None:
    command = parse_command(MAIL + b"ENVID=" + encode_xtext(text).encode())
    assert isinstance(command, Mail)
    assert command.envid == text


starts = st.sampled_from([MAIL, RCPT, b"MAIL FROM:", b"RCPT TO:<", b"EHLO ", b"BDAT ", b"AUTH ", b""])


@given(starts, st.binary(max_size=60))
def test_any_line_is_a_command_or_a_fault(start: bytes, rest: bytes) -> None:
    with contextlib.suppress(faults.PeerError):
        assert isinstance(parse_command(start + rest), Command)
