"""What a check of IMAP asks for: a running server, people nobody else uses, and sessions of theirs.

A check runs on each server of `simulators.mail_servers`. `@needs(…)` says what a server must offer for a check to say
anything; where a server is known to do otherwise than the standard, `@deviates(server, why)` says so. On other servers
such a check is not run at all, and none is skipped. What is marked `both_stores` runs on this project's server twice, with
a file and with PostgreSQL.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from simulators.imap_peer import ImapPeer, Login
from simulators.mail_servers import SERVERS, MailServer, offers, ours
from simulators.space import TrustSpace


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(*capabilities): what a server must offer for the check to run on it")
    config.addinivalue_line("markers", "deviates(server, why): a server that does otherwise than the standard")
    config.addinivalue_line(
        "markers", "both_stores: of what may depend on where this project's server keeps its rows, or on its processes"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "mail" in metafunc.fixturenames:
        metafunc.parametrize("mail", list(SERVERS), indirect=True, scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    known = {name: offers(name) for name in SERVERS}
    left_out = [item for item in items if not _says_something(item, known)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _says_something(item: pytest.Item, known: dict[str, frozenset[str]]) -> bool:
    name = item.callspec.params.get("mail") if hasattr(item, "callspec") else None
    if name is None:
        return True
    needed = {str(each) for mark in item.iter_markers("needs") for each in mark.args}
    deviating = {mark.args[0] for mark in item.iter_markers("deviates")}
    told = known[name] | {each.partition("=")[0] for each in known[name]}
    server, _, variant = name.partition("-")
    return (
        needed <= told
        and server not in deviating
        and (not variant or item.get_closest_marker("both_stores") is not None)
    )


@pytest.fixture(scope="session")
def mail(
    request: pytest.FixtureRequest, space: TrustSpace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MailServer]:
    """A running server."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "ours-postgresql":
        server: Any = request.getfixturevalue("postgresql")
        name = server.create(request.getfixturevalue("migrated_database"))
        with ours(space, folder, server.url(name)) as running:
            yield running
        server.drop(name)
        return
    with SERVERS[request.param](space, folder) as running:
        yield running


@pytest.fixture(autouse=True)
def sessions_end(mail: MailServer) -> Iterator[None]:
    """The sessions that a test opened end with it."""
    yield
    mail.close_sessions()


@pytest.fixture
def login(mail: MailServer) -> Login:
    """Somebody whose mailboxes are empty."""
    return mail.newcomer()


@pytest.fixture
def one(mail: MailServer, login: Login) -> ImapPeer:
    """A session with the inbox selected."""
    return mail.open(login, "INBOX")


@pytest.fixture
def two(mail: MailServer, login: Login, one: ImapPeer) -> ImapPeer:
    """Another session of the same person, with the inbox selected."""
    del one  # it opens first
    return mail.open(login, "INBOX")


@pytest.fixture
def ca(space: TrustSpace) -> Path:
    """The authorities of the servers' certificates, for programs that read a file."""
    return space.authorities
