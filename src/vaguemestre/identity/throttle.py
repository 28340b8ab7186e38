"""How long somebody must wait before they may try to sign in: longer with each failure, and never at others' cost.

Kept true: nobody can lock somebody else out. What grows fast is kept for an account *and* an address together, so that it
falls on who fails; an account by itself, and an address by itself, only ever cost a little, and cost nothing to those who
signed in to that account from that address lately. All is in memory and bounded; what is forgotten is the least recent.

A wait comes before the check, and attempts under way count as failures beyond a practice's worth: trying many at once, or hanging
up early, gains nothing. Pure: the clock is given.
"""

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

_MOST_KEYS = 20_000
_FORGET_S = 900.0  # failures count half as much for each quarter of an hour without another
_AT_ONCE = 32  # a practice behind one address opens as many again when its server starts
_MOST_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Slope:
    """Seconds to wait after some failures: none for the first `free`, then `first`, doubling or growing to `most`."""

    free: int
    first: float
    most: float
    doubling: bool = False

    def wait(self, failures: int) -> float:
        """Seconds after so many failures."""
        steps = failures - self.free
        if steps <= 0:
            return 0.0
        return min(self.most, self.first * (2.0 ** min(steps - 1, 20) if self.doubling else steps))


PAIR = Slope(1, 0.5, 15.0, doubling=True)
ACCOUNT = Slope(20, 0.1, 2.0)
ADDRESS = Slope(30, 0.1, 4.0)


class _Failures:
    __slots__ = ("count", "last", "under_way")

    def __init__(self) -> None:
        self.count = 0
        self.last = 0.0
        self.under_way = 0

    def at(self, now: float) -> int:
        """How many failures count now."""
        return self.count >> min(int((now - self.last) / _FORGET_S), 30) if self.count else 0

    def add(self, now: float) -> None:
        self.count = min(self.at(now) + 1, 1_000)
        self.last = now


class _Table:
    """What is known by key, the least recent forgotten first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[tuple[str, ...], _Failures] = OrderedDict()

    def of(self, *key: str) -> _Failures:
        found = self._rows.get(key)
        if found is None:
            found = self._rows[key] = _Failures()
            if len(self._rows) > self._most:
                self._rows.popitem(last=False)
        else:
            self._rows.move_to_end(key)
        return found

    def forget(self, *key: str) -> None:
        self._rows.pop(key, None)

    def __len__(self) -> int:
        return len(self._rows)


class Throttle:
    """The memory of one process. Use from one thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic, most_keys: int = _MOST_KEYS) -> None:
        self._now = now
        self._pairs, self._accounts, self._addresses = _Table(most_keys), _Table(most_keys), _Table(most_keys)
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._most = most_keys

    @property
    def remembered(self) -> int:
        """How many keys are kept, all together."""
        return len(self._pairs) + len(self._accounts) + len(self._addresses) + len(self._known)

    def begin(self, account: str, address: str) -> "Attempt":
        """An attempt to enter an account (its address in lower case) from a network address. End it in one of its ways."""
        place, now = _place(address), self._now()
        pair = self._pairs.of(account, place)
        failures = pair.at(now) + max(0, pair.under_way - _AT_ONCE)
        wait = PAIR.wait(failures)
        if (account, place) not in self._known:
            wait = max(
                wait,
                ACCOUNT.wait(self._accounts.of(account).at(now)),
                ADDRESS.wait(self._addresses.of(place).at(now)),
            )
        return Attempt(self, account, place, pair, None if pair.under_way >= _MOST_AT_ONCE else wait)

    def failed(self, account: str, place: str) -> None:
        """One more failure."""
        now = self._now()
        self._pairs.of(account, place).add(now)
        self._accounts.of(account).add(now)
        self._addresses.of(place).add(now)

    def succeeded(self, account: str, place: str) -> None:
        """The account was entered from there: what failed there is forgiven."""
        self._pairs.of(account, place).count = 0
        self._known[account, place] = None
        self._known.move_to_end((account, place))
        if len(self._known) > self._most:
            self._known.popitem(last=False)


class Attempt:
    """One attempt: `wait` seconds first, or None where too many are under way and this one is refused unheard."""

    def __init__(self, throttle: Throttle, account: str, place: str, pair: _Failures, wait: float | None) -> None:
        self.wait = wait
        self._throttle, self._account, self._place, self._pair = throttle, account, place, pair
        pair.under_way += 1

    def failed(self) -> None:
        """Nobody was let in."""
        self.abandoned()
        self._throttle.failed(self._account, self._place)

    def succeeded(self) -> None:
        """Somebody was."""
        self.abandoned()
        self._throttle.succeeded(self._account, self._place)

    def abandoned(self) -> None:
        """Neither: the client left, or something of ours broke."""
        self._pair.under_way -= 1


def _place(address: str) -> str:
    """What one subscriber of a network has: an address, or the first half of an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, 64), strict=False))
