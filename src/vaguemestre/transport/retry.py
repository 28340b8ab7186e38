"""When to try again: growing pauses with jitter, a word to the sender when it takes long, and an end.

Rules (RFC 5321 §4.5.4.1): the first retry comes soon, since greylisting and restarts pass in minutes; pauses then grow to
an hour; jitter of a fifth keeps many messages from knocking together. Health mail cannot wait days in silence: the
sender is told after `warn_after`, and the message given up after `give_up_after`.
"""

import random
from dataclasses import dataclass

_chance = random.Random()  # noqa: S311 - jitter is no secret
_PAUSES_S = (60, 120, 300, 600, 900, 1800, 3600)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Times in seconds. `scale` shortens every pause, for tests and the demo."""

    warn_after: float = 4 * 3600
    give_up_after: float = 2 * 86_400
    scale: float = 1.0

    def next_due(self, attempts: int, now_ms: int) -> int:
        """When to try again after `attempts` failed ones, in Unix milliseconds."""
        pause = _PAUSES_S[min(attempts, len(_PAUSES_S)) - 1] * self.scale
        return now_ms + int(pause * 1000 * _chance.uniform(0.8, 1.2))
