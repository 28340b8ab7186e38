"""`kill -9` at random moments: what was acknowledged is kept once, what was not is recognised when it comes again.

What this cannot show is a power cut: the kernel outlives the process here. That commits reach the disk is the business of
`synchronous=FULL` and fsync, whose calls the storage tests hold to.
"""

import itertools
import os
import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from simulators.load import MARK, Letter, Tally, again, pressing
from simulators.operators import Operator
from simulators.patience import until
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre import app as composition
from vaguemestre import clock, config
from vaguemestre.documents.compose import Attachment, compose
from vaguemestre.mailstore import accounts, mailboxes, messages
from vaguemestre.mailstore.model import Listed, Role
from vaguemestre.protocols import tls
from vaguemestre.transport.envelope import Envelope, Recipient

ROUNDS = int(os.environ.get("KILL_ROUNDS", "50"))
RELAY_ROUNDS = max(1, ROUNDS // 5)
PEOPLE = ("claire", "karim", "awa")
SIZES = (1_000, 1_000, 100_000, 1_000, 600_000, 1_000, 100_000)  # the largest go to the object store
CONNECTIONS = 4
EARLIEST_S, LATEST_S = 0.02, 0.4

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.timeout(600)]


def test_what_was_answered_250_is_in_its_inbox_once(space: TrustSpace, operator: Any) -> None:
    # A port of its own, as in life: it must be free again at once. Several workers, to kill one of them now and then.
    with socket.create_server(("127.0.0.1", 0)) as listening:
        own = f"127.0.0.1:{listening.getsockname()[1]}"
    receiver: Operator = operator(SOUTH, PEOPLE, smtp={"listen": own, "workers": 2})
    receiver.close()  # from here on nobody holds the store open but the processes that are killed
    spool = receiver.folder / "data" / "spool"
    tally, fresh = Tally(), _letters()
    identity = space.identity(NORTH)
    context = tls.client_context(identity.certificate, identity.key)
    for _ in range(ROUNDS):
        receiver.start_process()
        assert not list(spool.iterdir()), "what a killed process left half received is deleted at the next start"
        with pressing(receiver.port, context, tally, CONNECTIONS, itertools.chain(again(tally), fresh)):
            time.sleep(random.uniform(EARLIEST_S, LATEST_S))
            random.choices((receiver.kill, receiver.kill_a_worker), (4, 1))[0]()
        assert not any(MARK in path.read_bytes() for path in spool.iterdir()), "content stands in clear in the spool"
    receiver.start_process()
    with pressing(receiver.port, context, tally, CONNECTIONS, again(tally)):
        pass
    receiver.stop()

    assert not tally.unanswered
    assert not tally.refused
    sent = {letter.message_id: letter for letter in tally.accepted}
    assert len(sent) == len(tally.accepted) > ROUNDS
    for person in PEOPLE:
        expected = {key for key, letter in sent.items() if letter.recipient == SOUTH.address(person)}
        listed = _inbox(receiver, person)
        twice = [key for key, count in Counter(each.summary.message_id for each in listed).items() if count > 1]
        assert not twice
        assert {each.summary.message_id for each in listed} == expected
        for message in listed:
            assert receiver.content(message).endswith(sent[message.summary.message_id].content())
    _assert_sound(receiver)
    assert not list(spool.iterdir())


def test_what_is_relayed_arrives_once_though_its_sender_is_killed(space: TrustSpace, operator: Any) -> None:
    receiver: Operator = operator(SOUTH, PEOPLE).start_process()
    routes = {SOUTH.domain: f"127.0.0.1:{receiver.port}"}
    sender: Operator = operator(NORTH, ("claire",), queue={"routes": routes})
    subjects = [f"Lettre {number}" for number in range(40 * RELAY_ROUNDS)]
    sender.start_process().stop()  # it has its allow-list from now on
    _submit(sender, subjects)
    sender.close()
    for _ in range(RELAY_ROUNDS):
        sender.start_process()
        time.sleep(random.uniform(EARLIEST_S, LATEST_S))
        sender.kill()
    left = len(sender.queued())
    sender.close()
    sender.start_process()
    until(lambda: not sender.queued(), "the queue is empty")
    sender.stop()
    receiver.stop()

    assert left, "the last kill came after the end: there was too little to relay"
    for person in PEOPLE:
        arrived = Counter(each.summary.subject for each in _inbox(receiver, person))
        assert arrived == Counter(subjects)
    assert len(sender.journal("relay")) == len(PEOPLE) * len(subjects)
    _assert_sound(sender)
    _assert_sound(receiver)


def _letters() -> Iterator[Letter]:
    for number in itertools.count():
        person = PEOPLE[number % len(PEOPLE)]
        yield Letter(f"kill-{number}", NORTH.address("claire"), SOUTH.address(person), SIZES[number % len(SIZES)])


def _submit(sender: Operator, subjects: list[str]) -> None:
    """Write to everybody, one letter in ten large enough for the object store."""
    loaded = config.load(sender.config_file, {})
    submission = composition.submission(loaded, sender.stores, composition.trusted_set(loaded))
    author, to = sender.place.address("claire"), [SOUTH.address(person) for person in PEOPLE]
    for number, subject in enumerate(subjects):
        attachments = [Attachment("image.jpg", random.randbytes(400_000))] if number % 10 == 0 else []
        content = compose(
            author=("", author),
            to=[("", each) for each in to],
            subject=subject,
            text="Bien à vous.",
            at=clock.now(),
            attachments=attachments,
        )
        submission.submit(Envelope(author, tuple(Recipient(each) for each in to)), [content])


def _inbox(owner: Operator, person: str) -> list[Listed]:
    def listed(connection: Any) -> list[Listed]:
        account = accounts.get(connection, owner.place.address(person))
        inbox = mailboxes.with_role(connection, account.id, Role.INBOX)
        return messages.listing(connection, inbox.id, limit=1_000_000)

    found: list[Listed] = owner.read(listed)
    return found


def _assert_sound(owner: Operator) -> None:
    for command in (("db", "check"), ("evidence", "verify")):
        result = owner.command(*command)
        assert result.exit_code == 0, result.output
    for path in owner.folder.joinpath("data").rglob("*"):
        assert not path.is_file() or MARK not in path.read_bytes(), f"{path} holds content in clear"
