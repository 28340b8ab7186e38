"""The envelope: what SMTP says about a message beside its content (RFC 5321 §2.3.1, RFC 3461)."""

import msgspec


class Recipient(msgspec.Struct, frozen=True):
    """One forward-path; `notify` holds SUCCESS, FAILURE, DELAY, or NEVER; `original` is ORCPT as it came, or empty."""

    address: str
    notify: frozenset[str] = frozenset()
    original: str = ""

    @property
    def domain(self) -> str:
        """The domain, lower case."""
        return domain_of(self.address)


class Envelope(msgspec.Struct, frozen=True):
    """`reverse_path` is empty for notifications (RFC 5321 §4.5.5)."""

    reverse_path: str
    recipients: tuple[Recipient, ...] = ()
    returned: str = ""  # RET: FULL, HDRS or empty
    envelope_id: str = ""
    utf8: bool = False
    eight_bit: bool = False


def domain_of(address: str) -> str:
    """The domain of an address, lower case; empty for the null reverse-path."""
    return address.rpartition("@")[2].lower()
