"""Kept texts: what was answered of contents, for the next who asks.

What it keeps true: a text stands for a content, which never changes, and never for one that could not be read; the least
used go first, and all of them together hold a bounded number of octets; a message that is expunged is forgotten at once.

Why: mail programs of one person ask for the same envelopes, structures and header fields again and again, and to read,
open and spell one costs thirty times what it costs to find it here. Small texts only: bodies would push them out.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

LONGEST = 8_192  # octets of a text that is kept
_OCTETS = 32 * 1024 * 1024
_NOTHING = (b" NIL", b' ""')
_OWN_OCTETS = 250  # of what holds a text: about what Python takes for it


class KeptTexts:
    """The texts of one process. `keys` name the items asked for, the same octets for the same answer."""

    def __init__(self, octets: int = _OCTETS) -> None:
        self._left = octets
        self._held: OrderedDict[int, dict[bytes, bytes]] = OrderedDict()

    def find(self, blob_ids: Iterable[int], keys: Sequence[bytes]) -> dict[int, list[bytes]]:
        """The texts of those contents of which all are kept, in the order of `keys`."""
        held, found = self._held, {}
        for blob_id in blob_ids:
            texts = held.get(blob_id)
            if texts is None:
                continue
            try:
                found[blob_id] = [texts[key] for key in keys]
            except KeyError:
                continue
            held.move_to_end(blob_id)
        return found

    def keep(self, blob_id: int, keys: Sequence[bytes], texts: Sequence[bytes]) -> None:
        """Keep the texts of a content, but for those that are long, or say NIL, which may be trouble that passes."""
        kept = self._held.setdefault(blob_id, {})
        for key, text in zip(keys, texts, strict=True):
            if len(text) <= LONGEST and key not in kept and not text.endswith(_NOTHING):
                kept[key] = text
                self._left -= len(text) + _OWN_OCTETS
        while self._left < 0 and self._held:
            self._let_go(self._held.popitem(last=False)[1])

    def forget(self, blob_ids: Iterable[int]) -> None:
        """Contents whose messages are gone."""
        for blob_id in blob_ids:
            self._let_go(self._held.pop(blob_id, {}))

    def _let_go(self, texts: dict[bytes, bytes]) -> None:
        self._left += sum(len(text) + _OWN_OCTETS for text in texts.values())
