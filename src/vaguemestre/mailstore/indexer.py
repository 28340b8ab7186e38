"""The indexer: makes concordances of the messages that wait, behind delivery's back, and larger ones of small ones.

What it keeps true: a message that cannot be read is set aside, indexed by its summary, and never stops those after it;
nor is it tried for ever. Killed at any line, what was not shown is done again, and what was half written is swept.

Rules: accounts take turns. Eight concordances of about one size become one (`together`), so that an account has a few
dozens at most, and each word is written again a handful of times, whatever the account holds. Whoever delivers comes
first: all but the writing of rows happens outside the writer, most of it in another process of the lowest priority;
batches and steps are small, and where this process is busy with other work, it rests nine tenths of the time: it goes on,
slowly. What may pass, such as an object store that does not answer, is tried again later, then later still.

The words of a message that is no more leave with the next merge, at the latest a month after it.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Sequence

from vaguemestre import ids, log
from vaguemestre.clock import now_ms
from vaguemestre.documents import compilation
from vaguemestre.documents.concordance import MOST_ENTRIES
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore import concordances, indexing, reading
from vaguemestre.mailstore.concordances import STEP, Kept, Made
from vaguemestre.mailstore.extraction import ExtractionFailure, Extractor, UnreadableMessageError
from vaguemestre.mailstore.indexing import OvertakenError, Waiting
from vaguemestre.storage import sheets
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.sealing import UnsealingFailure

BATCH = 32
_BATCH_S = 2.0
_FAN = 8
MOST_OCTETS = 32 * 1024 * 1024  # of one concordance; while it is made, this process holds it some four times
_PAUSES_MS = (60_000, 600_000, 3_600_000, 4 * 3_600_000, 12 * 3_600_000)  # before what may pass is tried again
_GLANCE_S, _PAUSE_S = 0.005, 0.05
_BUSY = 0.25  # of one processor, used by the rest of this process
_REST, _LONGEST_REST_S = 9, 2.0
_AFTER_FAILURE_S = 30.0
_UPKEEP_S = 3600.0
_DAY_MS = 86_400_000
_KEPT_MS = 30 * _DAY_MS
_log = log.get("mailstore.indexer")


class Indexer:
    """The worker of one process: one thread at a time, but `close` from any."""

    def __init__(self, database: Database, store: BlobStore, extractor: Extractor | None = None) -> None:
        self._database = database
        self._store = store
        self._extractor = extractor or Extractor()
        self._stopping = threading.Event()
        self._working = threading.Lock()
        self._after = -1  # the account that had its turn last
        self._next_upkeep = self._not_before = 0.0
        self._worked_since = time.monotonic()
        self._unmergeable: set[int] = set()

    async def turn(self) -> None:
        """Index what waits, then return: the run of a periodic job. Raises StorageFailure."""
        await asyncio.to_thread(self._turn)

    async def stop(self) -> None:
        """`close`, and wait until nothing is under way."""
        await asyncio.to_thread(self.close)
        await asyncio.to_thread(self._working.acquire)

    def close(self) -> None:
        """Stop at the next line; what was under way is done again by the next worker."""
        self._stopping.set()
        self._extractor.close()

    def work(self, limit: int = BATCH) -> int:
        """Index some of the messages that wait; how many were, or were put off. Raises StorageFailure."""
        read: defaultdict[int, list[bytes]] = defaultdict(list)
        indexed: defaultdict[int, list[int]] = defaultdict(list)
        late: list[tuple[Waiting, int]] = []
        end = time.monotonic() + _BATCH_S
        for waiting in self._database.read(indexing.due, self._after, limit):
            self._after = waiting.account_id
            content = self._read(waiting)
            if content is None:
                late.append((waiting, now_ms() + _PAUSES_MS[waiting.attempts]))
            else:
                read[waiting.account_id].append(content)
                indexed[waiting.account_id].append(waiting.message_id)
            if time.monotonic() > end:
                break
        if late:
            self._database.write(indexing.put_off, late)
        if read:
            made = [self._made(account_id, parts) for account_id, parts in read.items()]
            try:
                self._database.write(indexing.settle, made, indexed)
            except OvertakenError:
                _log.info("messages were indexed by another process", messages=sum(map(len, indexed.values())))
        for account_id in read:
            self._merge_due(account_id)
        return len(late) + sum(map(len, indexed.values()))

    def keep_up(self) -> None:
        """Delete what concordances left behind, and the words of messages that are no more. Raises StorageFailure."""
        for volume_id in self._database.read(concordances.to_sweep, time.time() - _UPKEEP_S):
            self._sweep(volume_id)
        before = now_ms() - _KEPT_MS
        for account_id in self._database.read(indexing.to_purge, before):
            self._purge(account_id, before)

    def _turn(self) -> None:
        with self._working:
            if time.monotonic() < self._not_before:
                return
            try:
                while not self._stopping.is_set():
                    self._give_way()
                    if not self.work():
                        break
                if not self._stopping.is_set() and time.monotonic() >= self._next_upkeep:
                    self._next_upkeep = time.monotonic() + _UPKEEP_S
                    self.keep_up()
            except StorageFailure:
                if not self._stopping.is_set():
                    self._not_before = time.monotonic() + _AFTER_FAILURE_S
                    raise

    def _give_way(self) -> None:
        """Rest where this process is busy with other work: nine times as long as we worked, two seconds at most."""
        end = time.monotonic() + min(_LONGEST_REST_S, _REST * (time.monotonic() - self._worked_since))
        pause = _GLANCE_S
        while not self._stopping.is_set():
            start, used = time.monotonic(), time.process_time()
            self._stopping.wait(pause)
            now = time.monotonic()
            if now >= end or time.process_time() - used < _BUSY * (now - start):
                break
            pause = _PAUSE_S
        self._worked_since = time.monotonic()

    def _read(self, waiting: Waiting) -> bytes | None:
        """The concordance of a message; None where it may be had later."""
        try:
            content = self._database.read(reading.content, self._store, waiting.blob_id)
            return self._extractor.read(waiting.message_id, content)
        except ExtractionFailure:
            raise
        except (UnsealingFailure, UnreadableMessageError) as error:
            why = type(error).__name__
        except StorageFailure as error:
            if waiting.attempts < len(_PAUSES_MS):
                _log.warning("message read later", message=ids.to_text(waiting.message_id), why=error.en)
                return None
            why = type(error).__name__
        return self._database.read(reading.set_aside, waiting.message_id, why)

    def _made(self, account_id: int, parts: Sequence[bytes]) -> Made:
        content = parts[0] if len(parts) == 1 else self._extractor.merge(parts)
        return concordances.seal(self._store.ring, account_id, content)

    def _merge_due(self, account_id: int) -> None:
        while account_id not in self._unmergeable and not self._stopping.is_set():
            kept = self._database.read(concordances.of_account, account_id)
            chosen = [kept[place] for place in together([(each.entries, each.volume.size) for each in kept])]
            if not chosen:
                return
            gone = self._database.read(indexing.forgotten_of, account_id)
            self._replace(account_id, chosen, set(gone))

    def _purge(self, account_id: int, before: int) -> None:
        """Write again the concordances that lost many messages, or one long ago."""
        gone = self._database.read(indexing.forgotten_of, account_id)
        held: set[int] = set()
        for kept in self._database.read(concordances.of_account, account_id):
            lost = gone.keys() & set(self._database.read(concordances.owners, self._store.ring, kept))
            if indexing.worth_purging(kept.entries, [gone[each] for each in lost], before):
                self._replace(account_id, [kept], lost)
            else:
                held |= lost
        # What none holds was never indexed; after a day, nothing that was under way then can show it any more.
        unheld = [each for each, at in gone.items() if each not in held and at < now_ms() - _DAY_MS]
        self._database.write(indexing.no_more_forgotten, account_id, unheld)

    def _replace(self, account_id: int, chosen: Sequence[Kept], gone: set[int]) -> None:
        """Put one concordance in place of several, without the messages that are gone; in small steps where it is large."""
        try:
            parts = [self._database.read(concordances.whole, self._store.ring, each) for each in chosen]
            purged = gone & {owner for part in parts for owner in compilation.owners(part)}
            content = self._extractor.merge(parts, purged)
        except UnsealingFailure:  # damaged on disk; all that was in it is in the messages
            _log.error("search of an account is made anew", account=ids.to_text(account_id))
            self._database.write(indexing.reindex, account_id)
            return
        except UnreadableMessageError:
            _log.error("concordances cannot be merged", account=ids.to_text(account_id))
            self._unmergeable.add(account_id)
            return
        made = concordances.seal(self._store.ring, account_id, content)
        if made.in_steps:
            self._write_in_steps(made)
        try:
            self._database.write(indexing.replace, made, chosen, sorted(purged))
        except OvertakenError:
            _log.info("concordances were merged by another process", account=ids.to_text(account_id))
            return
        if not concordances.is_small(chosen):
            for each in chosen:
                self._sweep(each.volume.id)

    def _write_in_steps(self, made: Made) -> None:
        self._database.write(concordances.begin, made)
        for start in range(0, len(made.sheets), STEP):
            self._give_way()
            self._database.write(sheets.insert, made.volume.id, made.sheets[start : start + STEP], start)

    def _sweep(self, volume_id: int) -> None:
        while not self._stopping.is_set():
            self._give_way()
            if self._database.write(concordances.sweep, volume_id):
                return


def together(kept: Sequence[tuple[int, int]]) -> list[int]:
    """Which of an account's concordances, of these numbers of entries and octets, to make one of: their places; mostly none.

    Levels go by powers of eight entries; what is more than half of the largest possible stays as it is.
    """
    levels: defaultdict[int, list[int]] = defaultdict(list)
    for place, (entries, size) in enumerate(kept):
        if entries <= MOST_ENTRIES // 2 and size <= MOST_OCTETS // 2:
            levels[(max(1, entries).bit_length() - 1) // 3].append(place)
    for _, places in sorted(levels.items()):
        if len(places) >= _FAN:
            chosen, total, octets = [], 0, 0
            for place in places:
                entries, size = kept[place]
                if total + entries <= MOST_ENTRIES and octets + size <= MOST_OCTETS:
                    chosen.append(place)
                    total, octets = total + entries, octets + size
            return chosen
    return []
