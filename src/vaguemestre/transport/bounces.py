"""Notifications of what became of a message: failed, late, relayed or delivered (RFC 3464, asked by RFC 3461).

What it keeps true: a notification is made in the transaction that makes its fact true, so none is lost or doubled; none
is ever sent about a notification (null reverse-path), so two servers never bounce at each other.

Rules (RFC 3461 §4.1, §5.2): NEVER silences all; without NOTIFY, failures and delays are told; success and relay only
when asked. It goes to the author's inbox here, or by the queue to the operator that wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from vaguemestre import clock, ids
from vaguemestre.documents.headers import split_head, summary
from vaguemestre.documents.notifications import Action, Notification, RecipientStatus, render
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry, Event
from vaguemestre.mailstore import accounts, messages
from vaguemestre.mailstore.model import AccountState, NewMessage
from vaguemestre.storage import blobs
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.transport import queue
from vaguemestre.transport.envelope import Envelope, Recipient, domain_of
from vaguemestre.transport.retry import RetryPolicy

_ORIGINAL_LIMIT = 65_536
