"""The SMTP client machine, as dialogues: what it writes, what it believes, what ends a transaction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.smtp.addresses import Address
from vaguemestre.protocols.smtp.client import ClientConnection
from vaguemestre.protocols.smtp.client_events import (
    Capabilities,
    Closed,
    ConnectionCut,
    ContentTooLarge,
    ContentWanted,
    Event,
    FeatureNotOffered,
    Greeting,
    Outcome,
    ProtocolViolation,
    ReadyForTls,
    Refused,
    Stage,
    TlsNotOffered,
    Transaction,
    UnsafeParameter,
)
from vaguemestre.protocols.smtp.content_out import BareLineEnding, DotStuffer
from vaguemestre.protocols.smtp.replies import ReplyError

ALL = ("PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "CHUNKING", "ENHANCEDSTATUSCODES")
ALICE = Address.parse("alice@a.mssante.fr")
BOB = Address.parse("bob@b.mssante.fr")
LETTER = Transaction(ALICE, BOB, 20)


def _hear(client: ClientConnection, *lines: str) -> list[Event]:
    if lines:  # no bytes at all would be the end of the stream
        client.receive_data("".join(f"{line}\r\n" for line in lines).encode())
    events = []
    while (event := client.next_event()) is not None:
        events.append(event)
    return events


def _ehlo_reply(features: tuple[str, ...]) -> list[str]:
    lines = ["mx.b.mssante.fr", *features]
    return [f"250{' ' if line is lines[-1] else '-'}{line}" for line in lines]


def _ready(features: tuple[str, ...] = ALL) -> ClientConnection:
    client = ClientConnection("mx.a.mssante.fr")
    _hear(client, "220 mx.b.mssante.fr ESMTP")
    client.ehlo()
    _hear(client, *_ehlo_reply(("STARTTLS", "PIPELINING")))
    client.start_tls()
    _hear(client, "220 2.0.0 go")
    client.tls_started()
    client.ehlo()
    _hear(client, *_ehlo_reply(features))
    client.data_to_send()
    return client


def _without(*features: str) -> tuple[str, ...]:
    return tuple(feature for feature in ALL if feature.split()[0] not in features)


def test_a_conversation_from_greeting_to_good_bye() -> None:
    client = ClientConnection("mx.a.mssante.fr")
    assert client.data_to_send() == b""
    [greeting] = _hear(client, "220 mx.b.mssante.fr ESMTP")
    assert isinstance(greeting, Greeting)
    client.ehlo()
    assert client.data_to_send() == b"EHLO mx.a.mssante.fr\r\n"
    [offered] = _hear(client, "250-mx.b.mssante.fr", "250-starttls", "250 SIZE 35882577")
    assert isinstance(offered, Capabilities)
    assert offered.features == frozenset({"STARTTLS", "SIZE"})
    assert offered.size == 35882577
    client.start_tls()
    assert client.data_to_send() == b"STARTTLS\r\n"
    assert _hear(client, "220 2.0.0 go") == [ReadyForTls()]
    client.tls_started()
    assert client.features == frozenset()
    client.ehlo()
    assert client.data_to_send() == b"EHLO mx.a.mssante.fr\r\n"
    _hear(client, *_ehlo_reply(ALL))
    client.begin(LETTER)
    assert client.data_to_send() == (
        b"MAIL FROM:<alice@a.mssante.fr> SIZE=20\r\nRCPT TO:<bob@b.mssante.fr>\r\nDATA\r\n"
    )
    assert _hear(client, "250 2.1.0 ok") == []
    assert _hear(client, "250 2.1.5 ok", "354 go") == [ContentWanted()]
    assert client.content(b"Subject: a\r\n\r\n.b\r\n") == b"Subject: a\r\n\r\n..b\r\n"
    assert client.end_content() == b".\r\n"
    [outcome] = _hear(client, "250 2.0.0 queued as 12")
    assert isinstance(outcome, Outcome)
    assert (outcome.accepted, outcome.stage) == (True, Stage.CONTENT)
    assert outcome.diagnostic == "250 2.0.0 queued as 12"
    client.quit()
    assert client.data_to_send() == b"QUIT\r\n"
    assert _hear(client, "221 2.0.0 bye") == [Closed()]
    assert client.closed


def test_without_pipelining_each_command_awaits_its_answer() -> None:
    client = _ready(_without("PIPELINING"))
    client.begin(LETTER)
    assert client.data_to_send() == b"MAIL FROM:<alice@a.mssante.fr> SIZE=20\r\n"
    assert _hear(client, "250 ok") == []
    assert client.data_to_send() == b"RCPT TO:<bob@b.mssante.fr>\r\n"
    assert _hear(client, "250 ok") == []
    assert client.data_to_send() == b"DATA\r\n"
    assert _hear(client, "354 go") == [ContentWanted()]


def test_the_connection_serves_the_next_transaction_without_reset() -> None:
    client = _ready()
    for _ in range(3):
        client.begin(LETTER)
        assert client.data_to_send().startswith(b"MAIL FROM:")
        assert _hear(client, "250 ok", "250 ok", "354 go") == [ContentWanted()]
        client.content(b"a\r\n")
        client.end_content()
        [outcome] = _hear(client, "250 ok")
        assert isinstance(outcome, Outcome)
        assert outcome.accepted


def test_delivery_options_are_passed_on_where_offered() -> None:
    client = _ready()
    client.begin(
        Transaction(
            ALICE, BOB, 5, notify=("SUCCESS", "FAILURE"), orcpt="rfc822;bob+2Bx@b.mssante.fr", ret="HDRS", envid="Q+3D1"
        )
    )
    assert client.data_to_send().split(b"\r\n")[:2] == [
        b"MAIL FROM:<alice@a.mssante.fr> SIZE=5 RET=HDRS ENVID=Q+3D1",
        b"RCPT TO:<bob@b.mssante.fr> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;bob+2Bx@b.mssante.fr",
    ]


def test_nothing_is_asked_for_that_is_not_offered() -> None:
    client = _ready(())
    client.begin(Transaction(None, BOB, 5, notify=("NEVER",), orcpt="rfc822;x@y", ret="FULL", envid="Q"))
    assert client.data_to_send() == b"MAIL FROM:<>\r\n"
    _hear(client, "250 ok")
    assert client.data_to_send() == b"RCPT TO:<bob@b.mssante.fr>\r\n"


def test_internationalised_mail_is_announced_and_only_then() -> None:
    client = _ready()
    client.begin(Transaction(ALICE, Address.parse("rené@b.mssante.fr"), 5, eight_bit=True, orcpt="utf-8;rené@b"))
    assert client.data_to_send().decode().split("\r\n")[:2] == [
        "MAIL FROM:<alice@a.mssante.fr> SIZE=5 BODY=8BITMIME SMTPUTF8",
        "RCPT TO:<rené@b.mssante.fr> ORCPT=utf-8;rené@b",
    ]
    client = _ready()
    client.begin(Transaction(ALICE, BOB, 5, eight_bit=True, orcpt="utf-8;rené@b"))
    assert client.data_to_send().split(b"\r\n")[:2] == [
        b"MAIL FROM:<alice@a.mssante.fr> SIZE=5 BODY=8BITMIME",
        rb"RCPT TO:<bob@b.mssante.fr> ORCPT=utf-8;ren\x{E9}@b",
    ]


@pytest.mark.parametrize(
    ("transaction", "missing"),
    [
        (Transaction(ALICE, BOB, 5, eight_bit=True), "8BITMIME"),
        (Transaction(ALICE, BOB, 5, utf8_headers=True), "SMTPUTF8"),
        (Transaction(Address.parse("rené@a.mssante.fr"), BOB, 5), "SMTPUTF8"),
    ],
)
def test_a_message_is_not_sent_to_a_server_that_cannot_carry_it(transaction: Transaction, missing: str) -> None:
    client = _ready(_without(missing))
    with pytest.raises(FeatureNotOffered, match=missing):
        client.begin(transaction)
    assert client.data_to_send() == b""


def test_a_message_over_the_announced_size_is_not_sent() -> None:
    client = _ready()
    with pytest.raises(ContentTooLarge, match="1000000"):
        client.begin(Transaction(ALICE, BOB, 1_000_001))
    assert client.data_to_send() == b""
    client.begin(Transaction(ALICE, BOB, 1_000_000))


@pytest.mark.parametrize("value", ["SIZE", "SIZE 0", "SIZE many", "SIZE -5"])
def test_a_size_without_a_number_is_no_limit(value: str) -> None:
    client = _ready(("PIPELINING", value))
    assert client.size_limit is None
    client.begin(Transaction(ALICE, BOB, 10**9))


@pytest.mark.parametrize("evil", ["a\r\nRCPT TO:<eve@e>", "a b", "a=b", "a\x00b"])
def test_a_parameter_never_starts_another_command(evil: str) -> None:
    client = _ready()
    for transaction in (
        Transaction(ALICE, BOB, 5, envid=evil),
        Transaction(ALICE, BOB, 5, ret=evil),
        Transaction(ALICE, BOB, 5, orcpt=evil),
        Transaction(ALICE, BOB, 5, notify=(evil,)),
    ):
        with pytest.raises(UnsafeParameter):
            client.begin(transaction)
    assert client.data_to_send() == b""


def test_tls_not_offered_stops_everything() -> None:
    client = ClientConnection("mx.a.mssante.fr")
    _hear(client, "220 hi")
    client.ehlo()
    _hear(client, *_ehlo_reply(ALL))
    with pytest.raises(TlsNotOffered):
        client.start_tls()
    with pytest.raises(RuntimeError):
        client.begin(LETTER)
    assert client.data_to_send() == b"EHLO mx.a.mssante.fr\r\n"


def test_a_reply_injected_before_the_handshake_is_a_violation() -> None:
    client = ClientConnection("mx.a.mssante.fr")
    _hear(client, "220 hi")
    client.ehlo()
    _hear(client, *_ehlo_reply(("STARTTLS",)))
    client.start_tls()
    with pytest.raises(ProtocolViolation, match="between its agreement to TLS and the handshake"):
        _hear(client, "220 go", "250 ok")


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO, Stage.STARTTLS])
def test_a_refusal_before_mail_ends_the_conversation(stage: Stage) -> None:
    client = ClientConnection("mx.a.mssante.fr")
    if stage is not Stage.GREETING:
        _hear(client, "220 hi")
        client.ehlo()
    if stage is Stage.STARTTLS:
        _hear(client, *_ehlo_reply(("STARTTLS",)))
        client.start_tls()
    [refused] = _hear(client, "454 4.7.0 later")
    assert isinstance(refused, Refused)
    assert (refused.stage, refused.reply.code) == (stage, 454)
    assert client.closed
    with pytest.raises(RuntimeError):
        client.quit()


@pytest.mark.parametrize(
    ("replies", "stage", "code"),
    [
        (("550 5.7.1 no", "503 first MAIL", "503 first RCPT"), Stage.MAIL, 550),
        (("250 ok", "451 4.7.1 greylisted", "554 no valid recipients"), Stage.RCPT, 451),
        (("250 ok", "250 ok", "452 4.3.1 full"), Stage.DATA, 452),
    ],
)
@pytest.mark.parametrize("at_once", [True, False])
def test_the_first_refusal_is_the_outcome(replies: tuple[str, ...], stage: Stage, code: int, at_once: bool) -> None:
    client = _ready()
    client.begin(LETTER)
    client.data_to_send()
    events = _hear(client, *replies) if at_once else [event for reply in replies for event in _hear(client, reply)]
    [outcome] = events
    assert isinstance(outcome, Outcome)
    assert (outcome.accepted, outcome.stage, outcome.reply.code) == (False, stage, code)
    client.begin(LETTER)
    assert client.data_to_send().startswith(b"RSET\r\nMAIL FROM:")
    assert _hear(client, "250 reset", "250 ok", "250 ok", "354 go") == [ContentWanted()]


def test_without_pipelining_a_refused_recipient_asks_for_no_content() -> None:
    client = _ready(_without("PIPELINING"))
    client.begin(LETTER)
    _hear(client, "250 ok")
    [outcome] = _hear(client, "550 5.1.1 unknown")
    assert isinstance(outcome, Outcome)
    assert outcome.stage is Stage.RCPT
    client.data_to_send()
    client.begin(LETTER)
    assert client.data_to_send() == b"RSET\r\n"
    assert _hear(client, "250 ok") == []
    assert client.data_to_send().startswith(b"MAIL FROM:")


def test_content_asked_for_a_refused_recipient_is_a_lone_dot() -> None:
    client = _ready()
    client.begin(LETTER)
    client.data_to_send()
    [outcome] = _hear(client, "250 ok", "550 5.1.1 unknown", "354 go")
    assert isinstance(outcome, Outcome)
    assert (outcome.accepted, outcome.stage) == (False, Stage.RCPT)
    assert client.data_to_send() == b".\r\n"
    client.begin(LETTER)
    client.data_to_send()
    # The answer to the dot, even an acceptance, is nobody's outcome.
    assert _hear(client, "250 accepted nothing", "250 reset", "250 ok", "250 ok", "354 go") == [ContentWanted()]


def test_a_decided_refusal_survives_a_connection_cut() -> None:
    client = _ready()
    client.begin(LETTER)
    assert _hear(client, "250 ok", "550 5.1.1 unknown") == []
    client.receive_data(b"")
    outcome = client.next_event()
    assert isinstance(outcome, Outcome)
    assert outcome.reply.code == 550
    assert client.closed


def test_a_cut_before_the_answer_to_the_content_is_no_outcome() -> None:
    client = _ready()
    client.begin(LETTER)
    _hear(client, "250 ok", "250 ok", "354 go")
    client.content(b"a\r\n")
    client.end_content()
    client.receive_data(b"250 2.0.0 acc")
    client.receive_data(b"")
    with pytest.raises(ConnectionCut):
        client.next_event()
    assert client.next_event() is None


@pytest.mark.parametrize("heard", [(), ("250 ok",), ("250 ok", "250 ok"), ("250 ok", "250 ok", "354 go")])
def test_a_server_that_stops_refuses_for_now(heard: tuple[str, ...]) -> None:
    client = _ready()
    client.begin(LETTER)
    _hear(client, *heard)
    [outcome] = _hear(client, "421 4.3.2 stopping")
    assert isinstance(outcome, Outcome)
    assert not outcome.accepted
    assert outcome.reply.transient
    assert client.closed


def test_an_idle_server_may_stop() -> None:
    client = _ready()
    [refused] = _hear(client, "421 4.4.2 idle too long")
    assert isinstance(refused, Refused)
    assert refused.stage is Stage.NOTHING


def test_an_acceptance_of_content_not_ended_is_a_violation() -> None:
    client = _ready()
    client.begin(LETTER)
    _hear(client, "250 ok", "250 ok", "354 go")
    client.content(b"a\r\n")
    with pytest.raises(ProtocolViolation, match="to no command"):
        _hear(client, "250 accepted")


def test_a_refusal_in_mid_content_is_believed_and_ends_the_connection() -> None:
    client = _ready()
    client.begin(LETTER)
    _hear(client, "250 ok", "250 ok", "354 go")
    client.content(b"a\r\n")
    [outcome] = _hear(client, "552 5.3.4 too large")
    assert isinstance(outcome, Outcome)
    assert outcome.reply.code == 552
    assert client.closed
    with pytest.raises(RuntimeError):
        client.content(b"b\r\n")


@pytest.mark.parametrize("reply", ["354 go", "300 what"])
def test_an_intermediate_answer_where_none_is_possible_is_a_violation(reply: str) -> None:
    client = _ready()
    client.begin(LETTER)
    with pytest.raises(ProtocolViolation, match="MAIL FROM"):
        _hear(client, reply)
    client = _ready()
    client.begin(LETTER)
    _hear(client, "250 ok", "250 ok", "354 go")
    client.end_content()
    with pytest.raises(ProtocolViolation, match="the content"):
        _hear(client, reply)


def test_a_positive_answer_to_data_other_than_354_is_a_violation() -> None:
    client = _ready()
    client.begin(LETTER)
    with pytest.raises(ProtocolViolation, match="DATA"):
        _hear(client, "250 ok", "250 ok", "250 ok")


@pytest.mark.parametrize("line", ["hello", "99 low", "250", "2500 ok", "250-a\r\n251 b", "250 ok\n"])
def test_what_is_not_a_reply_is_a_fault(line: str) -> None:
    client = _ready()
    client.begin(LETTER)
    if line == "250":  # short, yet a reply
        assert _hear(client, line) == []
        return
    with pytest.raises(ReplyError):
        _hear(client, line)


# Chunks

BIG = Transaction(ALICE, BOB, 200_000)


def test_large_content_leaves_in_chunks_where_offered() -> None:
    client = _ready()
    client.begin(BIG)
    assert client.data_to_send() == b"MAIL FROM:<alice@a.mssante.fr> SIZE=200000\r\nRCPT TO:<bob@b.mssante.fr>\r\n"
    assert _hear(client, "250 ok", "250 ok") == [ContentWanted()]
    assert client.content(b".a\r\n") == b"BDAT 4\r\n.a\r\n"
    assert client.content(b"") == b""
    assert client.content(b"b\r\n") == b"BDAT 3\r\nb\r\n"
    assert _hear(client, "250 4 octets") == []
    assert client.end_content() == b"BDAT 0 LAST\r\n"
    [outcome] = _hear(client, "250 3 octets", "250 2.0.0 queued")
    assert isinstance(outcome, Outcome)
    assert (outcome.accepted, outcome.reply.text) == (True, "queued")


@pytest.mark.parametrize("missing", ["CHUNKING", "PIPELINING"])
def test_large_content_leaves_by_data_elsewhere(missing: str) -> None:
    client = _ready(_without(missing))
    client.begin(BIG)
    _hear(client, "250 ok")
    _hear(client, "250 ok")
    assert client.data_to_send().endswith(b"DATA\r\n")


def test_a_refused_chunk_is_the_outcome_whatever_is_answered_to_the_next() -> None:
    client = _ready()
    client.begin(BIG)
    _hear(client, "250 ok", "250 ok")
    for _ in range(3):
        client.content(b"a\r\n")
    [outcome] = _hear(client, "250 ok", "552 5.3.4 too large")
    assert isinstance(outcome, Outcome)
    assert (outcome.accepted, outcome.stage) == (False, Stage.CHUNK)
    with pytest.raises(RuntimeError):
        client.content(b"a\r\n")
    client.data_to_send()
    client.begin(LETTER)
    assert client.data_to_send().startswith(b"RSET\r\n")
    assert _hear(client, "250 odd", "250 reset", "250 ok", "250 ok", "354 go") == [ContentWanted()]


def test_a_refused_chunk_refuses_the_content_already_ended() -> None:
    client = _ready()
    client.begin(BIG)
    _hear(client, "250 ok", "250 ok")
    client.content(b"a\r\n")
    client.end_content()
    [outcome] = _hear(client, "451 4.3.0 disk", "250 odd")
    assert isinstance(outcome, Outcome)
    assert not outcome.accepted


@pytest.mark.parametrize("content", [b"a\nb\r\n", b"a\rb\r\n", b"\n.\n", b"a\r\n\r.\r\n", b"a\r"])
@pytest.mark.parametrize("transaction", [LETTER, BIG])
def test_content_that_could_smuggle_a_message_never_ends(content: bytes, transaction: Transaction) -> None:
    client = _ready()
    client.begin(transaction)
    _hear(client, "250 ok", "250 ok", *(["354 go"] if transaction is LETTER else []))

    def send() -> None:
        for byte in content:
            client.content(bytes([byte]))
        client.end_content()

    with pytest.raises(BareLineEnding):
        send()


LINES = st.lists(st.sampled_from([b"", b".", b"..", b".a", b"a", b"a.", b"MAIL FROM:<>", b"\xe9"]), max_size=12)
CUTS = st.lists(st.integers(1, 5), min_size=1, max_size=12)


@given(LINES, st.booleans(), CUTS)
def test_stuffed_content_read_back_is_the_content(lines: list[bytes], ended: bool, cuts: list[int]) -> None:
    content = b"\r\n".join(lines) + (b"\r\n" if ended else b"")
    client = _ready()
    client.begin(LETTER)
    _hear(client, "250 ok", "250 ok", "354 go")
    written, position, turn = b"", 0, 0
    while position < len(content):
        step = cuts[turn % len(cuts)]
        written += client.content(content[position : position + step])
        position, turn = position + step, turn + 1
    written += client.end_content()

    *read, last, after = written.split(b"\r\n")
    assert (last, after) == (b".", b"")
    assert all(line != b"." for line in read)
    unstuffed = b"".join(line.removeprefix(b".") + b"\r\n" for line in read)
    assert unstuffed == (content if content.endswith(b"\r\n") or not content else content + b"\r\n")


@given(st.lists(st.lists(st.sampled_from(b"\r\n.a"), max_size=6).map(bytes), max_size=12))
def test_stuffing_any_bytes_then_unstuffing_them_changes_nothing(chunks: list[bytes]) -> None:
    stuffer = DotStuffer()
    written = b"".join(stuffer.stuff(chunk) for chunk in chunks)
    assert b"\r\n".join(line.removeprefix(b".") for line in written.split(b"\r\n")) == b"".join(chunks)


@given(st.binary(max_size=200), CUTS)
def test_no_reply_bytes_make_it_fail_otherwise(data: bytes, cuts: list[int]) -> None:
    client = _ready()
    client.begin(LETTER)
    try:
        for start in range(0, len(data), cuts[0]):
            client.receive_data(data[start : start + cuts[0]])
            while client.next_event() is not None:
                pass
    except ReplyError:
        pass
