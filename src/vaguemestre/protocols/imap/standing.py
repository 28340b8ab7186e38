"""Where a connection stands: what was granted, and so which commands may come, how they read and what they may cost.

What stays true: a stranger costs little; nothing is asked of a command but what its rule says.

RFC 9051 §3 (states), §6.3.1 and RFC 5161 (ENABLE); RFC 6855 §3; RFC 7162 §3.2.3 (QRESYNC).
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vaguemestre.protocols.imap import faults
from vaguemestre.protocols.imap.cursor import Dialect
from vaguemestre.protocols.imap.grammar import AUTHENTICATED, NOT_AUTHENTICATED, SELECTED, Rule


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a client may cost. Sizes in octets."""

    line: int  # of a command, its literals apart; also a SASL response
    literals: int  # of a command, APPEND's content apart
    bad_commands: int  # one after the other
    drained: int  # refused content read to its end, before the connection is closed instead


# A token in AUTHENTICATE takes some thousand octets. Few bad commands, so that what a browser is made to send here does not
# get as far as its body.
STRANGER = Allowance(line=16_384, literals=4_096, bad_commands=4, drained=65_536)
# Programs name thousands of UIDs in one command.
SIGNED_IN_CLIENT = Allowance(line=65_536, literals=1_048_576, bad_commands=20, drained=256 * 1024 * 1024)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one connection may cost, before sign-in and after."""

    first: Allowance = STRANGER
    then: Allowance = SIGNED_IN_CLIENT
    literal_count: int = 1_000  # of a command
    nesting: int = 50  # of search keys
    ranges: int = 10_000  # of a sequence set


class Standing:
    """One connection's state, and what changes its commands."""

    __slots__ = ("_enabled", "_state", "_tls_required", "allowance", "dialect", "limits", "read_only", "tls_active")

    def __init__(self, limits: Limits, *, tls_active: bool, tls_required: bool) -> None:
        self._state = NOT_AUTHENTICATED
        self._enabled: frozenset[str] = frozenset()
        self._tls_required = tls_required
        self.limits = limits
        self.allowance = limits.first
        self.dialect = Dialect(nesting=limits.nesting, ranges=limits.ranges)
        self.tls_active = tls_active
        self.read_only = False

    def sign_in(self) -> None:
        """The client is authenticated."""
        self._state = AUTHENTICATED
        self.allowance = self.limits.then

    def select(self, *, read_only: bool) -> None:
        """A mailbox is selected."""
        self._state = SELECTED
        self.read_only = read_only

    def unselect(self) -> None:
        """No mailbox is selected any more."""
        self._state = AUTHENTICATED
        self.read_only = False

    def enable(self, capabilities: Iterable[str]) -> None:
        """These are in force too."""
        enabled = self._enabled = self._enabled | frozenset(capabilities)
        accept = "UTF8=ACCEPT" in enabled
        utf8 = accept or "IMAP4REV2" in enabled
        self.dialect = Dialect(utf8, accept, "QRESYNC" in enabled, self.limits.nesting, self.limits.ranges)

    def obstacle(self, rule: Rule) -> faults.ClientError | None:
        """Why a command with this rule cannot come now."""
        if not rule.states & self._state:
            if self._state == NOT_AUTHENTICATED:
                return faults.SignInFirstError()
            return faults.SelectFirstError() if rule.states & SELECTED else faults.SignedInError()
        if rule.states == NOT_AUTHENTICATED:
            if rule.secret and self._tls_required and not self.tls_active:
                return faults.PrivacyError()
            if not rule.secret and self.tls_active:
                return faults.TlsActiveError()
        if rule.changes and self.read_only:
            return faults.ReadOnlyError()
        return None
