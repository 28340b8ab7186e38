"""What one peer may take of an operator: time, connections, recipients, octets. Beyond, it is told so and the others live."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from simulators.caller import Caller, letter
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre import app as composition
from vaguemestre.protocols.smtp.server import ServerConnection
from vaguemestre.servers import listener, smtp
from vaguemestre.servers.limits import ServerLimits

AUTHOR, TO = NORTH.address("claire"), SOUTH.address("claire")
SIZE = 100_000


@pytest.fixture(scope="module")
def strict(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that gives its peers little of everything but time."""
    few = {"message_size": SIZE, "recipients": 3, "connections_per_address": 3}
    running = Operator(space, tmp_path_factory.mktemp("strict"), SOUTH, ("claire", "un", "deux", "trois"), smtp=few)
    yield running.start()
    running.close()


@pytest.fixture
def wary(space: TrustSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Operator]:
    """An operator that gives strangers a second to be admitted."""
    monkeypatch.setattr(composition, "ServerLimits", partial(ServerLimits, stranger=1.0))
    monkeypatch.setattr(listener, "_SWEEP_S", 0.05)
    running = Operator(space, tmp_path, SOUTH, ("claire",))
    yield running.start()
    running.close()


@pytest.fixture(scope="module")
def impatient(space: TrustSpace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """An operator that waits a second for its peers."""
    with pytest.MonkeyPatch.context() as patch:
        short = partial(ServerLimits, idle=1.0, handshake=1.0, content_grace=0.5, slowest=100_000, farewell=0.5)
        patch.setattr(composition, "ServerLimits", short)
        patch.setattr(listener, "_SWEEP_S", 0.05)
        running = Operator(space, tmp_path_factory.mktemp("impatient"), SOUTH, ("claire",), smtp={"connections": 3})
        yield running.start()
        running.close()


def test_too_large_a_message_is_refused_where_it_is_announced(space: TrustSpace, strict: Operator) -> None:
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        answer = caller.say(f"MAIL FROM:<{AUTHOR}> SIZE={SIZE + 1}")
        assert answer.status == "552 5.3.4"
        assert f"{SIZE} octets admis" in answer.text
        assert caller.say(f"MAIL FROM:<{AUTHOR}> SIZE={SIZE}").code == 250


def test_too_large_a_message_is_refused_at_its_end_and_the_next_one_passes(space: TrustSpace, strict: Operator) -> None:
    large = letter(AUTHOR, TO, text="\n".join(["x" * 900] * (SIZE // 900)))
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        assert caller.send(AUTHOR, [TO], large).status == "552 5.3.4"
        caller.envelope(AUTHOR, TO)
        caller.write(f"BDAT {len(large)} LAST\r\n".encode() + large)
        assert caller.answer().status == "552 5.3.4"
        assert caller.send(AUTHOR, [TO], letter(AUTHOR, TO, "Petit")).code == 250
    assert [message.summary.subject for message in strict.messages("claire")] == ["Petit"]
    until(lambda: len(strict.journal("refusal", "MessageSizeError")) == 2, "both refusals are journalled")


def test_recipients_beyond_the_limit_are_for_another_transaction(space: TrustSpace, strict: Operator) -> None:
    """RFC 5321 §4.5.3.1.10: 452, so that the peer sends again to those that remain."""
    people = [SOUTH.address(person) for person in ("claire", "un", "deux", "trois")]
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        answers = caller.envelope(AUTHOR, *people)
        assert [each.status for each in answers[-2:]] == ["250 2.1.5", "452 4.5.3"]
        assert "Trop de destinataires" in answers[-1].text


def test_connections_beyond_the_limit_are_turned_away_until_one_ends(space: TrustSpace, strict: Operator) -> None:
    until(lambda: _welcome(strict.port), "the connections of other tests are over")
    kept: list[Caller] = []
    try:
        until(lambda: kept.append(Caller(strict.port)) or kept[-1].banner.code == 421, "a connection too many", 10)
        assert len(kept) <= 4
        assert kept[-1].banner.status == "421 4.7.0"
        assert "Trop de connexions" in kept[-1].banner.text
        assert kept[-1].closed()
        kept[0].say("QUIT")
        until(lambda: _welcome(strict.port), "there is room again")
    finally:
        for caller in kept:
            caller.close()


def test_processes_count_the_connections_of_all_of_them(operator: OperatorFactory) -> None:
    """Whichever of them takes a connection: no more in all, nor from one address, than if there were one."""
    few = {"workers": 3, "connections": 7, "connections_per_address": 4}
    south = operator(SOUTH, smtp=few).start_process()
    kept = [Caller(south.port) for _ in range(8)] + [Caller(south.port, "127.0.0.2") for _ in range(8)]
    try:
        assert sum(caller.banner.code == 220 for caller in kept[:8]) == 4
        assert sum(caller.banner.code == 220 for caller in kept[8:]) == 3
        assert {caller.banner.status for caller in kept} == {"220", "421 4.7.0"}
        next(caller for caller in kept if caller.banner.code == 220).close()
        until(
            lambda: kept.append(Caller(south.port, "127.0.0.2")) or kept[-1].banner.code == 220, "there is room again"
        )
        with Caller(south.port) as caller:
            assert caller.banner.code == 421
    finally:
        for caller in kept:
            caller.close()


def test_a_stranger_keeps_no_place_whatever_it_says(space: TrustSpace, wary: Operator) -> None:
    with Caller.secured(wary.port, space.identity(NORTH)) as known:
        assert known.say(f"MAIL FROM:<{AUTHOR}>").code == 250
        assert known.say("RSET").code == 250
        for certificate in (None, space.identity(NORTH)):
            with Caller.secured(wary.port, certificate) as caller:
                until(lambda line=caller: line.say("NOOP").code == 421, "it is told good-bye")
                assert caller.closed()
        assert known.say("NOOP").code == 250


def test_a_peer_refused_too_often_is_told_good_bye(space: TrustSpace, strict: Operator) -> None:
    most = ServerLimits().refused_mails
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        answers = [caller.say("MAIL FROM:<claire@example.org>") for _ in range(most + 1)]
        assert [each.status for each in answers] == ["550 5.7.1"] * most + ["421 4.7.0"]
        assert "Trop de commandes refusees" in answers[-1].text
        assert caller.closed()
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        for _ in range(most):
            caller.say("MAIL FROM:<claire@example.org>")
        assert caller.send(AUTHOR, [TO], letter(AUTHOR, TO)).code == 250


def test_a_peer_that_guesses_at_recipients_is_told_good_bye(space: TrustSpace, strict: Operator) -> None:
    most = ServerLimits().refused_recipients
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        assert caller.say(f"MAIL FROM:<{AUTHOR}>").code == 250
        guesses = b"".join(b"RCPT TO:<%d@sud.mssante.fr>\r\n" % number for number in range(most + 50))
        caller.write(guesses)
        assert [caller.answer().status for _ in range(most + 1)] == ["550 5.1.1"] * most + ["421 4.7.0"]
        assert caller.closed()


def test_a_silent_peer_is_told_good_bye(space: TrustSpace, impatient: Operator) -> None:
    for caller in (Caller(impatient.port), Caller.secured(impatient.port, space.identity(NORTH))):
        with caller:
            answer = caller.answer()
            assert answer.status == "421 4.4.2"
            assert "lente ou muette" in answer.text
            assert caller.closed()


def test_a_session_that_cannot_be_swept_is_cut_and_the_others_are_swept(
    space: TrustSpace, wary: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, broken = smtp.Session.sweep, set[smtp.Session]()

    def half_broken(session: smtp.Session, now: float) -> None:
        if not broken or session in broken:
            broken.add(session)
            raise RuntimeError("a defect")
        sweep(session, now)

    with Caller(wary.port) as first, Caller(wary.port) as second:
        monkeypatch.setattr(smtp.Session, "sweep", half_broken)
        answers = []
        for caller in (first, second):
            with suppress(ConnectionError):
                answers.append(caller.answer().status)
        assert answers == ["421 4.4.2"]
    assert len(broken) == 1


def test_a_handshake_that_never_ends_is_cut(impatient: Operator) -> None:
    with Caller(impatient.port) as caller:
        caller.say("EHLO caller.example")
        caller.say("STARTTLS")
        hello = ssl.MemoryBIO()
        ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="x")
        caller.write(b"\x16\x03\x01\x02")
        caller.closed()  # returns once it is


def test_content_that_drips_is_cut(space: TrustSpace, impatient: Operator) -> None:
    with Caller.secured(impatient.port, space.identity(NORTH)) as caller:
        caller.envelope(AUTHOR, TO)
        caller.say("DATA")
        caller._socket.settimeout(0.1)
        answer = b""
        while not answer:
            try:
                caller.write(b"goutte\r\n")
                answer = caller._socket.recv(1000)
            except TimeoutError:
                continue
            except OSError:
                break
        assert answer.startswith((b"421-4.4.2 ", b"421 4.4.2 "))
    assert impatient.messages("claire") == []


def test_peers_that_never_read_take_no_memory_and_give_their_places_back(
    impatient: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without back-pressure, the answers to endless commands would pile up here; without an end to the good-bye, the
    connections whose peer does not read it would stay for ever."""
    until(lambda: _welcome(impatient.port), "the connections of other tests are over")
    unread: list[int] = []
    flush = smtp.Session._flush

    def watched(session: smtp.Session) -> None:
        flush(session)
        unread.append(session._transport.get_write_buffer_size())

    monkeypatch.setattr(smtp.Session, "_flush", watched)
    flood = memoryview(b"EHLO x\r\n" * 2_000_000)
    lines = [socket.create_connection(("127.0.0.1", impatient.port)) for _ in range(3)]
    sent = [0] * len(lines)
    try:
        for line in lines:
            line.setblocking(False)

        def flooded() -> bool:
            for number, line in enumerate(lines):
                with suppress(OSError):
                    sent[number] += line.send(flood[sent[number] :])
            return _welcome(impatient.port)

        until(lambda: not flooded(), "every place is taken")
        until(flooded, "their places are free again")
    finally:
        for line in lines:
            line.close()
    assert 65_536 < max(unread) < 1_000_000  # what passes uvloop's high-water mark, and one turn's answers


def test_pipelined_messages_wait_at_the_peer_and_not_here(
    space: TrustSpace, strict: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one message is being delivered, no more than what was read with it is held in memory."""
    held: list[int] = []
    receive = ServerConnection.receive_data

    def watched(machine: ServerConnection, data: bytes) -> None:
        receive(machine, data)
        held.append(machine.buffered)

    monkeypatch.setattr(ServerConnection, "receive_data", watched)
    with Caller.secured(strict.port, space.identity(NORTH)) as caller:
        transactions = []
        for number in range(100):
            content = letter(AUTHOR, TO, f"Tas {number}", text="\n".join(["x" * 900] * 90))
            envelope = f"MAIL FROM:<{AUTHOR}>\r\nRCPT TO:<{TO}>\r\nBDAT {len(content)} LAST\r\n"
            transactions.append(envelope.encode() + content)
        answers = caller.converse(b"".join(transactions), 300)
    assert [line[:4] for line in answers] == [b"250 "] * 300
    assert max(held) < 1_000_000


def _welcome(port: int) -> bool:
    with Caller(port) as caller:
        return caller.banner.code == 220


def test_no_connection_is_left_behind(impatient: Operator) -> None:
    """All of the above gave their places back: as many as the limit can be open at once."""

    def all_welcome() -> bool:
        kept = [Caller(impatient.port) for _ in range(3)]
        for caller in kept:
            caller.close()
        return all(caller.banner.code == 220 for caller in kept)

    until(all_welcome, "every place is free again")
