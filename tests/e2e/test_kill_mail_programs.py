"""`kill -9` of everything while mail programs file and mail comes in: what was acknowledged stands once, what was under way
is whole or not there.

As with `test_kill`, the kernel outlives the processes: a power cut is the business of `synchronous=FULL` and fsync.
"""

import itertools
import os
import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from simulators.imap_account import look
from simulators.imap_filing import Filer, settle
from simulators.imap_peer import ImapPeer, Login
from simulators.load import Letter, Tally, again, pressing
from simulators.operators import Operator, OperatorFactory
from simulators.patience import DEADLINE_S, until
from simulators.space import NORTH, SOUTH, TrustSpace
from vaguemestre.protocols import tls

ROUNDS = int(os.environ.get("KILL_ROUNDS", "50"))
PEOPLE = {"karim": ("bureau", "mobile", "tablette"), "awa": ("poste", "portable")}
SHARED = ("INBOX", "Archives")
POST = 20  # letters from elsewhere in a round
SEED = int(os.environ.get("KILL_SEED", "1"))
MOST_AWAITED, LATEST_S = 30, 0.3  # before the kill: commands in a round, then seconds

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.timeout(900)]


def test_what_was_acknowledged_to_mail_programs_stands_once(space: TrustSpace, operator: OperatorFactory) -> None:
    _kill_over_and_over(space, operator, ROUNDS)


def test_the_same_on_postgresql(
    space: TrustSpace, operator: OperatorFactory, postgresql: Any, migrated_database: str
) -> None:
    name = postgresql.create(migrated_database)
    _kill_over_and_over(space, operator, max(1, ROUNDS // 10), postgresql.url(name))


def _kill_over_and_over(space: TrustSpace, operator: OperatorFactory, rounds: int, database: str = "") -> None:
    receiver: Operator = operator(
        SOUTH,
        tuple(PEOPLE),
        storage={"database": database},
        smtp={"workers": 1},
        imap={"listen": "127.0.0.1:0", "listen_tls": "127.0.0.1:0"},
        identity={"app_passwords": True},
    )
    logins = {person: Login(*receiver.let_in(person)) for person in PEOPLE}
    receiver.close()  # from here on nobody holds the store open but the processes that are killed
    filers = {
        person: [Filer(name, logins[person], SHARED, SEED) for name in programs] for person, programs in PEOPLE.items()
    }
    everybody = [*itertools.chain(*filers.values())]
    context = ssl.create_default_context(cafile=str(space.authorities))
    chance = random.Random(SEED)
    post = _Post(space)
    for round_ in range(rounds + 1):
        receiver.start_process()
        for person in PEOPLE:
            with ImapPeer.connect(receiver.ports["imaps"], context, implicit=True) as peer:
                peer.login(logins[person])
                found = look(peer, post.contents, contents=round_ == rounds)
                post.assert_there_once(person, settle(filers[person], found))
        if round_ < rounds:
            with post.coming(receiver.port), _filing(everybody, receiver.ports["imaps"], context):
                _await_more(everybody, chance.randint(0, MOST_AWAITED))
                time.sleep(chance.uniform(0, LATEST_S))
                receiver.kill_all()
            if round_ % 10 == 0:
                _assert_sound(receiver)
    receiver.stop()

    _assert_sound(receiver)
    assert len(post.tally.accepted) >= rounds
    for each, least in (("acknowledged", 10), ("cut_short", 1)):
        counted = sum((getattr(filer, each) for filer in everybody), Counter[str]())
        assert counted.total() >= least * rounds, f"too little was {each} to say anything: {counted}"


class _Post:
    """Mail that comes from another operator meanwhile, some for each person a round, sent again until it is answered."""

    def __init__(self, space: TrustSpace) -> None:
        identity = space.identity(NORTH)
        self._context = tls.client_context(identity.certificate, identity.key)
        self._fresh = (
            Letter(f"{person}.post{number}", NORTH.address("claire"), SOUTH.address(person), 2_000)
            for number in itertools.count()
            for person in PEOPLE
        )
        self.tally = Tally()

    def coming(self, port: int) -> AbstractContextManager[None]:
        """Send while the block runs, to its end or the server's."""
        letters = itertools.chain(again(self.tally), itertools.islice(self._fresh, POST))
        return pressing(port, self._context, self.tally, 2, letters)

    @property
    def contents(self) -> dict[str, bytes]:
        """What may have arrived, by its Message-ID's left part."""
        sent = [*self.tally.accepted, *self.tally.unanswered, *(letter for letter, _ in self.tally.refused)]
        return {letter.name: letter.content() for letter in sent}

    def assert_there_once(self, person: str, found: list[str]) -> None:
        """What was answered 250 is there, what was not may be, nothing is twice, and nothing else is."""
        assert len(set(found)) == len(found), f"twice: {Counter(found).most_common(3)}"
        answered = {letter.name for letter in self.tally.accepted if letter.name.startswith(f"{person}.")}
        assert answered <= set(found), f"lost: {sorted(answered - set(found))}"
        assert set(found) <= self.contents.keys()


@contextmanager
def _filing(filers: list[Filer], port: int, context: ssl.SSLContext) -> Iterator[None]:
    """All of them work, in a thread each, when the block begins, and have stopped when it is left."""
    threads = [threading.Thread(target=each.file, args=(port, context), name=each.name) for each in filers]
    for each in filers:
        each.working.clear()
    for thread in threads:
        thread.start()
    try:
        for each in filers:
            assert each.working.wait(DEADLINE_S), f"{each.name} does not begin"
        yield
    finally:
        for thread in threads:
            thread.join(DEADLINE_S)
    for each in filers:
        if each.failure is not None:
            raise each.failure


def _await_more(filers: list[Filer], count: int) -> None:
    """Wait until so many more commands were acknowledged, or one of them found something wrong."""

    def acknowledged() -> int:
        return sum(each.acknowledged.total() for each in filers)

    wanted = acknowledged() + count
    until(lambda: acknowledged() >= wanted or any(each.failure for each in filers), f"{count} more acknowledged")


def _assert_sound(owner: Operator) -> None:
    for command in (("db", "check"), ("evidence", "verify")):
        result = owner.command(*command)
        assert result.exit_code == 0, result.output
