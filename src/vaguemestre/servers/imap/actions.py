"""Which commands are acts on an account, and what its traces call them (CONF.17, CONF.18).

A trace names the act, the request and the answer; neither a mailbox's name nor anything of a message.
"""

from collections.abc import Mapping

from vaguemestre.protocols.imap.commands import Command

ACTIONS: Mapping[str, str] = {
    "SELECT": "open",
    "EXAMINE": "open",
    "FETCH": "read",
    "SEARCH": "search",
    "SORT": "search",
    "THREAD": "search",
    "APPEND": "append",
    "STORE": "store",
    "EXPUNGE": "expunge",
    "COPY": "copy",
    "MOVE": "move",
    "CREATE": "create",
    "DELETE": "delete",
    "RENAME": "rename",
    "SUBSCRIBE": "subscribe",
    "UNSUBSCRIBE": "unsubscribe",
}
"""The act of each request that is one."""

_REQUESTS = {"read": "FETCH"}


def request_of(action: str) -> str:
    """The request that an act is done by, where nothing more is known."""
    return _REQUESTS.get(action, action.upper())


def request_named(name: bytes) -> str:
    """The request of a command's name: by UID or not is the same."""
    return name.decode("ascii").removeprefix("UID ")


def request(command: Command) -> str:
    """The request that a command is."""
    return type(command).__name__.upper()
