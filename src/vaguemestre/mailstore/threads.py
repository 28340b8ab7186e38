"""Conversations: which thread a new message joins, decided once, when it is appended.

Rules: a message joins the thread of any Message-ID that it bears or refers to (Message-ID, In-Reply-To, References), the
latest named first; failing that, a reply joins the thread that last bore its base subject in the account; failing that,
it starts a thread of its own, which bears the message's identifier. Ids decide across the account, whatever the mailbox
(RFC 8621 §3, RFC 5256 §2.1).
Keys are 63-bit hashes of account and Message-ID or base subject: a collision would merge two conversations on the
screen, once in billions, and lose nothing.
"""

import hashlib
from collections.abc import Sequence

import sqlalchemy as sa

from vaguemestre.documents.headers import Summary, base_subject
from vaguemestre.mailstore.tables import thread_references
from vaguemestre.storage.bulk import BulkInsert, BulkSelect, BulkUpdate

_MOST_REFERENCES = 50  # a hostile header may name thousands; conversations are found by the nearest
_KNOWN = BulkSelect("SELECT reference, thread_id FROM thread_references WHERE reference IN {keys}")
_INSERT = BulkInsert(thread_references, "reference", "thread_id")
_MOVE = BulkUpdate(thread_references, "reference", ["thread"], {"thread_id": "new.thread"})


def assign(connection: sa.Connection, new: Sequence[tuple[int, int, Summary]]) -> list[int]:
    """The thread of each (account, message, summary), in order; new references are remembered.

    Part of the caller's transaction.
    """
    wanted = [_references(account_id, summary) for account_id, _, summary in new]
    keys = {key for references, subject, _ in wanted for key in (*references, subject) if key}
    known = {row[0]: row[1] for row in _KNOWN.run(connection, list(keys))}
    stored = dict(known)
    threads = []
    for (references, subject, reply), (_, message_id, _) in zip(wanted, new, strict=True):
        thread = next((known[key] for key in references if key in known), 0)
        if not thread and reply:
            thread = known.get(subject, 0)
        thread = thread or message_id
        for key in references:
            known.setdefault(key, thread)
        if subject:
            known[subject] = thread
        threads.append(thread)
    _remember(connection, stored, known)
    return threads


def _remember(connection: sa.Connection, stored: dict[int, int], known: dict[int, int]) -> None:
    fresh = [(key, thread) for key, thread in known.items() if key not in stored]
    _INSERT.run(connection, fresh)
    _MOVE.run(connection, [(key, known[key]) for key, thread in stored.items() if known[key] != thread])


def _references(account_id: int, summary: Summary) -> tuple[list[int], int, bool]:
    named = [*reversed(summary.references), *summary.in_reply_to]
    own = [summary.message_id] if summary.message_id else []
    base, reply = base_subject(summary.subject)
    account = account_id.to_bytes(8, "big")
    references = [_key(account, b"i", text) for text in dict.fromkeys(own + named[:_MOST_REFERENCES])]
    return references, _key(account, b"s", base) if base else 0, reply


def _key(account: bytes, kind: bytes, text: str) -> int:
    digest = hashlib.blake2b(account + kind + text.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 1) or 1
