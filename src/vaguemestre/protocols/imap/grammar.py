"""Every command but APPEND: its name, when it may come, and what reads it.

RFC 9051 §6 and §9; RFC 2971 (ID); RFC 4959 (SASL-IR); RFC 4978 (COMPRESS); RFC 5161 (ENABLE); RFC 5267 §4.3.3
(CANCELUPDATE).
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping

import msgspec

from vaguemestre.protocols.imap import commands, fetch_grammar, mailbox_grammar, search_grammar
from vaguemestre.protocols.imap.commands import Command
from vaguemestre.protocols.imap.cursor import Cursor, Dialect
from vaguemestre.protocols.imap.faults import ArgumentError, SaslEncodingError

# Where a connection may stand (RFC 9051 §3); plain numbers, since each command is held against them.
NOT_AUTHENTICATED = 1
AUTHENTICATED = 2
SELECTED = 4
SIGNED_IN = AUTHENTICATED | SELECTED
ANY = NOT_AUTHENTICATED | SIGNED_IN

_ID_FIELDS = 30
_SIGN_IN = Dialect(utf8=True)  # rev2 lets UTF-8 into quoted strings, and nothing can be enabled before LOGIN
_BASE64 = re.compile(rb"[^ ]+")


class Rule(msgspec.Struct, frozen=True):
    """A command may come in `states`. `read` reads what follows its name: nothing, not even a space, where `bare`."""

    read: Callable[[Cursor], Command]
    states: int
    bare: bool = False
    turns: bool = False
    """Does its answer change how what follows is read? As `commands.TURNING` says."""
    changes: bool = False
    """Does it change the selected mailbox?"""
    secret: bool = False
    """Does it carry a secret, so that it must not come in clear?"""


def decode_base64(text: bytes) -> bytes:
    """The octets that `text` encodes. Raises SaslEncodingError."""
    try:
        return a2b_base64(text, strict_mode=True) if text else b""
    except Base64Error:
        raise SaslEncodingError from None


def _read_id(cursor: Cursor) -> commands.Id:
    if not cursor.passes(b"("):
        if cursor.nstring() is not None:
            raise ArgumentError("a list or NIL", "une liste ou NIL")
        return commands.Id()
    found: list[tuple[str, str | None]] = []
    while not cursor.passes(b")"):
        if found:
            cursor.space()
        name = cursor.quoted_text()
        cursor.space()
        value = cursor.nstring()
        found.append((name, None if value is None else value.decode("utf-8", "replace")))
        if len(found) > _ID_FIELDS:
            raise ArgumentError("30 fields at most", "30 champs au plus")
    return commands.Id(tuple(found))


def _read_authenticate(cursor: Cursor) -> commands.Authenticate:
    mechanism = cursor.word().decode("ascii")
    initial = None
    if cursor.passes(b" "):
        text = cursor.matched(_BASE64, "a response in base64", "une réponse en base64")[0]
        initial = b"" if text == b"=" else decode_base64(text)
    return commands.Authenticate(mechanism, initial)


def _read_login(cursor: Cursor) -> commands.Login:
    cursor.dialect = _SIGN_IN
    user = cursor.utf8_text()
    cursor.space()
    return commands.Login(user, cursor.utf8_text())


def _read_enable(cursor: Cursor) -> commands.Enable:
    found = [cursor.word()]
    while cursor.passes(b" "):
        found.append(cursor.word())
    return commands.Enable(tuple(each.decode("ascii") for each in dict.fromkeys(found)))


def _read_compress(cursor: Cursor) -> commands.Compress:
    return commands.Compress(cursor.word().decode("ascii"))


def _read_cancel_update(cursor: Cursor) -> commands.CancelUpdate:
    found = [cursor.string()]
    while cursor.passes(b" "):
        found.append(cursor.string())
    return commands.CancelUpdate(tuple(found))


def _fixed(command: Command, states: int, *, changes: bool = False) -> Rule:
    return Rule(lambda _: command, states, bare=True, turns=isinstance(command, commands.TURNING), changes=changes)


def _on_uids(read: Callable[[Cursor, bool], Command], *, changes: bool = False) -> Rule:
    return Rule(lambda cursor: read(cursor, True), SELECTED, changes=changes)


RULES: Mapping[bytes, Rule] = {
    b"CAPABILITY": _fixed(commands.Capability(), ANY),
    b"NOOP": _fixed(commands.Noop(), ANY),
    b"LOGOUT": _fixed(commands.Logout(), ANY),
    b"ID": Rule(_read_id, ANY),
    b"STARTTLS": _fixed(commands.StartTls(), NOT_AUTHENTICATED),
    b"AUTHENTICATE": Rule(_read_authenticate, NOT_AUTHENTICATED, turns=True, secret=True),
    b"LOGIN": Rule(_read_login, NOT_AUTHENTICATED, turns=True, secret=True),
    b"ENABLE": Rule(_read_enable, SIGNED_IN, turns=True),
    b"SELECT": Rule(mailbox_grammar.read_select, SIGNED_IN, turns=True),
    b"EXAMINE": Rule(lambda cursor: mailbox_grammar.read_select(cursor, True), SIGNED_IN, turns=True),
    b"CREATE": Rule(mailbox_grammar.read_create, SIGNED_IN),
    b"DELETE": Rule(mailbox_grammar.read_delete, SIGNED_IN),
    b"RENAME": Rule(mailbox_grammar.read_rename, SIGNED_IN),
    b"SUBSCRIBE": Rule(mailbox_grammar.read_subscribe, SIGNED_IN),
    b"UNSUBSCRIBE": Rule(mailbox_grammar.read_unsubscribe, SIGNED_IN),
    b"LIST": Rule(mailbox_grammar.read_list, SIGNED_IN),
    b"LSUB": Rule(mailbox_grammar.read_lsub, SIGNED_IN),
    b"NAMESPACE": _fixed(commands.Namespace(), SIGNED_IN),
    b"STATUS": Rule(mailbox_grammar.read_status, SIGNED_IN),
    b"IDLE": _fixed(commands.Idle(), SIGNED_IN),
    b"GETQUOTA": Rule(mailbox_grammar.read_get_quota, SIGNED_IN),
    b"GETQUOTAROOT": Rule(mailbox_grammar.read_get_quota_root, SIGNED_IN),
    b"SETQUOTA": Rule(mailbox_grammar.read_set_quota, SIGNED_IN),
    b"NOTIFY": Rule(mailbox_grammar.read_notify, SIGNED_IN),
    b"COMPRESS": Rule(_read_compress, SIGNED_IN, turns=True),
    b"CANCELUPDATE": Rule(_read_cancel_update, SIGNED_IN),
    b"CHECK": _fixed(commands.Check(), SELECTED),
    b"CLOSE": _fixed(commands.Close(), SELECTED),
    b"UNSELECT": _fixed(commands.Unselect(), SELECTED),
    b"EXPUNGE": _fixed(commands.Expunge(), SELECTED, changes=True),
    b"UID EXPUNGE": Rule(fetch_grammar.read_uid_expunge, SELECTED, changes=True),
    b"SEARCH": Rule(search_grammar.read_search, SELECTED),
    b"UID SEARCH": _on_uids(search_grammar.read_search),
    b"SORT": Rule(search_grammar.read_sort, SELECTED),
    b"UID SORT": _on_uids(search_grammar.read_sort),
    b"THREAD": Rule(search_grammar.read_thread, SELECTED),
    b"UID THREAD": _on_uids(search_grammar.read_thread),
    b"FETCH": Rule(fetch_grammar.read_fetch, SELECTED),
    b"UID FETCH": _on_uids(fetch_grammar.read_fetch),
    b"STORE": Rule(fetch_grammar.read_store, SELECTED, changes=True),
    b"UID STORE": _on_uids(fetch_grammar.read_store, changes=True),
    b"COPY": Rule(fetch_grammar.read_copy, SELECTED),
    b"UID COPY": _on_uids(fetch_grammar.read_copy),
    b"MOVE": Rule(fetch_grammar.read_move, SELECTED, changes=True),
    b"UID MOVE": _on_uids(fetch_grammar.read_move, changes=True),
}


def read_command(rule: Rule, cursor: Cursor) -> Command:
    """The command from behind its name to its end. Raises ClientError."""
    if not rule.bare:
        cursor.space()
    command = rule.read(cursor)
    cursor.end()
    return command
