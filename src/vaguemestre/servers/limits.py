"""What a server lets its peers use: connections, time, recipients, sizes.

Each limit bounds what one peer, honest or not, can take from the others (RFC 5321 §4.5.3, §4.5.3.2 for the times).
"""

import fcntl
import ipaddress
import mmap
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """Limits of one listener. Times in seconds, sizes in octets, `slowest` in octets a second once content flows."""

    connections: int = 1000
    connections_per_address: int = 100
    handshake: float = 30
    idle: float = 300
    stranger: float = 600  # for a first MAIL to be admitted: nobody keeps a place with NOOPs
    slowest: int = 1024
    content_grace: float = 120
    message_size: int = 50 * 1024 * 1024
    recipients: int = 1000
    refused_mails: int = 20  # a connection, and so below: the next one closes it
    refused_recipients: int = 100
    stop_grace: float = 10
    farewell: float = 30  # for a peer to read our last words


class Admittance:
    """Counts open connections, in all and by address."""

    def __init__(self, limits: ServerLimits) -> None:
        self._limits = limits
        self._by_address: Counter[str] = Counter()
        self.open = 0

    def enter(self, address: str) -> bool:
        """Count one in; false when the limit is reached, and then nothing is counted."""
        limits = self._limits
        if self.open >= limits.connections or self._by_address[address] >= limits.connections_per_address:
            return False
        self.open += 1
        self._by_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Count one out."""
        self.open -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]


class SharedAdmittance(Admittance):
    """Counts the open connections of all processes forked after it was made. `close` it where none are taken.

    In memory that all share, a cell for each connection there may be: 0, or the mark of an address. A cell is taken under a
    lock that ends with its process; it is given back by the process that took it. One that is killed gives nothing back,
    but then all end.
    """

    def __init__(self, limits: ServerLimits) -> None:
        super().__init__(limits)
        self._cells = memoryview(mmap.mmap(-1, 8 * limits.connections)).cast("q")
        self._lock = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as connections come
        self._taken: defaultdict[str, list[int]] = defaultdict(list)

    def enter(self, address: str) -> bool:
        """See Admittance."""
        mark = hash(address) or 1  # 64 bits under a key that forked processes share
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            cells = self._cells.tolist()
            if 0 not in cells or cells.count(mark) >= self._limits.connections_per_address:
                return False
            cell = cells.index(0)
            self._cells[cell] = mark
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)
        self._taken[address].append(cell)
        return True

    def leave(self, address: str) -> None:
        """See Admittance."""
        self._cells[self._taken[address].pop()] = 0
        if not self._taken[address]:
            del self._taken[address]

    def close(self) -> None:
        """Let go of the lock in this process."""
        self._lock.close()


class Allowance:
    """How many requests each address may still make: `burst` at once, then `rate` a second."""

    _MOST_KNOWN = 10_000

    def __init__(self, burst: int, rate: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._burst = burst
        self._rate = rate
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def spend(self, address: str) -> bool:
        """Count one request; false when the address has none left."""
        now = self._clock()
        left, since = self._left.get(address, (float(self._burst), now))
        left = min(float(self._burst), left + (now - since) * self._rate)
        if address not in self._left and len(self._left) >= self._MOST_KNOWN:
            self._left.clear()
        self._left[address] = (left - 1 if left >= 1 else left, now)
        return left >= 1


def network(address: str) -> str:
    """What one subscriber holds: an IPv4 address, or the /64 of an IPv6 one, of which each has billions."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))
