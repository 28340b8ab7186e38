"""`kill -9` of everything while mail programs file: what was acknowledged stands once, what was under way is whole or not.

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
from contextlib import contextmanager
from typing import Any

import pytest

from simulators.imap_filing import Filer, look, settle
from simulators.imap_peer import ImapPeer, Login
from simulators.operators import Operator, OperatorFactory
from simulators.patience import DEADLINE_S
from simulators.space import SOUTH, TrustSpace

ROUNDS = int(os.environ.get("KILL_ROUNDS", "50"))
PEOPLE = {"karim": ("bureau", "mobile", "tablette"), "awa": ("poste", "portable")}
SHARED = ("INBOX", "Archives")
SEED = int(os.environ.get("KILL_SEED", "1"))
EARLIEST_S, LATEST_S = 0.02, 0.4

pytestmark = [pytest.mark.xdist_group("kill"), pytest.mark.timeout(600)]


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
    for round_ in range(rounds + 1):
        receiver.start_process()
        for person in PEOPLE:
            with ImapPeer.connect(receiver.ports["imaps"], context, implicit=True) as peer:
                peer.login(logins[person])
                settle(filers[person], look(peer, contents=round_ == rounds))
        if round_ < rounds:
            with _filing(everybody, receiver.ports["imaps"], context):
                time.sleep(chance.uniform(EARLIEST_S, LATEST_S))
                receiver.kill_all()
            if round_ % 10 == 0:
                _assert_sound(receiver)
    receiver.stop()

    _assert_sound(receiver)
    for each, least in (("acknowledged", 10), ("cut_short", 1)):
        counted = sum((getattr(filer, each) for filer in everybody), Counter[str]())
        assert counted.total() >= least * rounds, f"too little was {each} to say anything: {counted}"


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


def _assert_sound(owner: Operator) -> None:
    for command in (("db", "check"), ("evidence", "verify")):
        result = owner.command(*command)
        assert result.exit_code == 0, result.output
