"""Many sessions at once on one mailbox stay right. What is held against the server: `simulators.imap_stress`."""

import os

import pytest

from simulators.imap_peer import Login
from simulators.imap_stress import Ledger, Rowdy, Watcher, agree
from simulators.letters import letter
from simulators.mail_servers import MailServer

STEPS = int(os.environ.get("STRESS_STEPS", "120"))

needs = pytest.mark.needs
pytestmark = pytest.mark.both_stores


@needs("CONDSTORE", "QRESYNC", "UIDPLUS", "MOVE", "IDLE")
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sessions_that_change_everything_see_the_same(mail: MailServer, login: Login, seed: int) -> None:
    first = mail.open(login)
    first.ok("CREATE ailleurs")
    ledger = Ledger()
    for number in range(10):
        ledger.promise(first.append(letter(f"debut-{number}")), f"debut-{number}")
    watchers = [Watcher(mail.open(login), ledger, qresync=number % 2 == 1) for number in range(6)]
    rowdies = [
        Rowdy(f"r{number}", watcher, "ailleurs", STEPS, 100 * seed + number) for number, watcher in enumerate(watchers)
    ]
    for each in rowdies:
        each.start()
    for each in rowdies:
        each.join()
    for each in rowdies:
        if each.failure is not None:
            raise each.failure
    agree(watchers, mail.open(login))
    validity = {each.validity for each in watchers}
    if mail.restart is not None and seed == 1:
        before = first.select()
        mail.restart()
        seen = mail.open(login).select()
        assert {seen.uid_validity} == validity
        assert (seen.exists, seen.uid_next, seen.modseq) == (before.exists, before.uid_next, before.modseq)
