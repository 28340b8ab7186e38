"""The process that an administrator starts and stops: what is under way ends well, what waits is still there."""

import hashlib
import random
import socket
from pathlib import Path

import psutil

from simulators.caller import Caller, letter
from simulators.operators import Operator, OperatorFactory
from simulators.patience import until
from simulators.peer import Gate, ScriptedPeer
from simulators.ports import free_port
from simulators.space import NORTH, SOUTH, THIRD, TrustSpace

AUTHOR, TO = NORTH.address("claire"), SOUTH.address("claire")
FAR = THIRD.address("awa")


def test_a_message_coming_in_is_finished_before_the_stop(space: TrustSpace, operator: OperatorFactory) -> None:
    south = operator(SOUTH).start_process()
    content = letter(AUTHOR, TO, text="\n".join(["x" * 900] * 1000))
    with (
        Caller.secured(south.port, space.identity(NORTH)) as sending,
        Caller.secured(south.port, space.identity(NORTH)) as idle,
    ):
        sending.envelope(AUTHOR, TO)
        sending.say("DATA")
        sending.write(content[:500_000])
        south.ask_to_stop()
        answer = idle.answer()
        assert answer.status == "421 4.3.2"
        assert "Le serveur s'arrete" in answer.text
        assert idle.closed()
        sending.write(content[500_000:] + b".\r\n")
        assert sending.answer().code == 250
        assert sending.answer().status == "421 4.3.2"
        assert sending.closed()
    south.stop()
    assert south.only_message("claire").endswith(content)


def test_a_message_going_out_is_finished_before_the_stop(space: TrustSpace, operator: OperatorFactory) -> None:
    gate = Gate()
    with ScriptedPeer(space.identity(THIRD), always={"end": gate}) as peer:
        north = operator(NORTH, queue={"routes": {THIRD.domain: peer.route}}).start_process()
        north.send("claire", [FAR])
        until(lambda: gate.waiting, "the peer has it, and has not answered")
        north.ask_to_stop()
        until(lambda: not _open(north.port), "nobody is let in any more")
        gate.open()
        north.stop()
        assert north.queued() == []
        assert len(north.journal("relay")) == 1
        assert len(peer.taken) == 1


def test_what_waits_survives_a_restart_and_a_kill(space: TrustSpace, operator: OperatorFactory) -> None:
    port = free_port()
    routes = {THIRD.domain: f"127.0.0.1:{port}"}
    north = operator(NORTH, queue={"routes": routes, "pause_scale": 0.01}).start_process()
    sent = [north.send("claire", [FAR], f"Lettre {number}").id for number in range(3)]
    until(lambda: len(north.journal("deferral")) >= 3, "nobody answers")
    north.stop()
    north.start_process()
    north.kill()
    assert len(north.queued()) == 3
    with ScriptedPeer(space.identity(THIRD), port=port) as peer:
        north.start_process()
        peer.takes(3)
        until(lambda: not north.queued(), "the queue is empty")
        assert len(peer.taken) == 3
    assert {entry.subject for entry in north.journal("relay")} == set(sent)
    assert "injoignable" not in str(north.messages("claire"))


def test_a_port_in_use_is_said(space: TrustSpace, operator: OperatorFactory) -> None:
    south = operator(SOUTH, smtp={"listen": f"127.0.0.1:{free_port()}"}).start()
    answer = south.process("serve")
    assert answer.returncode == 2
    assert "Un port ne peut pas être ouvert" in answer.stderr
    assert "A port cannot be opened" in answer.stderr


def test_a_large_message_streams_through_the_spool_and_never_stands_in_memory(
    space: TrustSpace, operator: OperatorFactory
) -> None:
    south = operator(SOUTH, smtp={"message_size": 100_000_000}).start_process()
    piece = b"".join(random.Random(9).randbytes(37).hex().encode() + b"\r\n" for _ in range(13_000))
    size, digest = 0, hashlib.sha256()
    with Caller.secured(south.port, space.identity(NORTH)) as caller:
        caller.send(AUTHOR, [TO], letter(AUTHOR, TO, "Petit"))
        before = peak(south)
        caller.envelope(AUTHOR, TO, options="SIZE=60000000")
        caller.say("DATA")
        for part in (letter(AUTHOR, TO, "Grand"), *[piece] * 61):
            caller.write(part)
            digest.update(part)
            size += len(part)
        caller.write(b".\r\n")
        assert caller.answer().code == 250
    assert size > 60_000_000
    assert peak(south) - before < 40_000_000
    message = south.messages("claire")[0]
    reader = south.read(south.stores.blobs.open, message.blob_id)
    kept, skip = hashlib.sha256(), reader.size - size
    for chunk in reader.chunks(skip):
        kept.update(chunk)
    assert kept.digest() == digest.digest()
    assert not list((south.folder / "data" / "spool").iterdir())


def _open(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port)):
            return True
    except ConnectionRefusedError:
        return False


def peak(operator: Operator) -> int:
    """The most memory that the operator's processes had resident so far, in octets, each at its time."""
    own = psutil.Process(operator.process_id)
    total = 0
    for each in (own, *own.children(recursive=True)):
        lines = Path(f"/proc/{each.pid}/status").read_text().splitlines()
        total += next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    return total
