"""The indexer: makes concordances of the messages that wait, behind delivery's back, and larger ones of small ones.

What it keeps true: a message that cannot be read is set aside, indexed by its summary, and never stops those after it;
nor is it tried for ever. Killed at any line, what was not shown is done again, and what was half written is swept.

Rules: accounts take turns. Eight concordances of about one size become one (`together`), so that an account has a few
dozens at most, and each word is written again a handful of times, whatever the account holds. Whoever delivers comes
first: all but the writing of rows happens outside the writer, most of it in another process of the lowest priority;
batches and steps are small, and where this process is busy with other work, it rests nine tenths of the time: it goes on,
slowly. What may pass, such as an object store that does not answer, is tried again later, then later still.

Who searches comes before that: an account of which much waits is caught up with (`catch_up`), newest first, in a thread
and a process beside, without rest; all who search it meanwhile wait for this one reading, and none is done twice.

The words of a message that is no more leave with the next merge, at the latest a month after it.
"""

import asyncio
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from vaguemestre import ids, log
from vaguemestre.clock import now_ms
from vaguemestre.documents import compilation
from vaguemestre.documents.concordance import MOST_ENTRIES
from vaguemestre.errors import StorageFailure
from vaguemestre.mailstore import concordances, indexing, reading
from vaguemestre.mailstore.concordances import STEP, Kept, Made
from vaguemestre.mailstore.extraction import Extractor, UnreadableMessageError
from vaguemestre.mailstore.indexing import OvertakenError, Waiting
from vaguemestre.storage import sheets
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database
from vaguemestre.storage.sealing import UnsealingFailure

BATCH = 256
_BATCH_S = 2.0
_BATCH_OCTETS = 16 * 1024 * 1024  # of concordances
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
    """The worker of one process: one thread at a time, but `close` from any; `catch_up` from one event loop."""

    def __init__(self, database: Database, store: BlobStore, extractor: Extractor | None = None) -> None:
        self._database = database
        self._store = store
        self._extractor = extractor or Extractor()
        self._hastening = extractor or Extractor(niceness=5)  # somebody waits for it
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="catch up")
        self._caught_up: dict[int, asyncio.Task[None]] = {}  # accounts for which somebody waits
        self._stopping = threading.Event()
        self._working = threading.Lock()
        self._after = -1  # the account that had its turn last
        self._next_upkeep = self._not_before = 0.0
        self._worked_since = time.monotonic()
        self._unmerged: set[int] = set()
        self._unmergeable: set[int] = set()

    async def turn(self) -> None:
        """Index what waits, then return: the run of a periodic job. Raises StorageFailure."""
        await asyncio.to_thread(self._turn)

    async def stop(self) -> None:
        """`close`, and wait until nothing is under way."""
        self._stopping.set()
        await asyncio.to_thread(self.close)
        await asyncio.to_thread(self._threads.shutdown)
        await asyncio.to_thread(self._working.acquire)

    async def catch_up(self, account_id: int) -> None:
        """Return once all that waits of an account at this moment was read; what could not be, is left to the search.

        Those who ask for one account meanwhile share the work.
        """
        under_way = self._caught_up.get(account_id)
        if under_way is None:
            under_way = asyncio.create_task(self._catching_up(account_id))
            self._caught_up[account_id] = under_way
            under_way.add_done_callback(lambda _: self._caught_up.pop(account_id, None))
        await asyncio.shield(under_way)

    async def _catching_up(self, account_id: int) -> None:
        """A batch at a time, so that accounts take turns here too."""
        up_to = ids.next_id()
        loop = asyncio.get_running_loop()
        while not self._stopping.is_set() and await loop.run_in_executor(
            self._threads, self._catch_up, account_id, up_to
        ):
            pass

    def close(self) -> None:
        """Stop at the next line; what was under way is done again by the next worker."""
        self._stopping.set()
        self._extractor.close()
        self._hastening.close()

    def work(self, limit: int = BATCH) -> int:
        """Index some of the messages that wait; how many were, or were put off. Raises StorageFailure."""
        batch = self._due(limit)
        count, self._after = self._index(batch, self._extractor) if batch else (0, self._after)
        for account_id in self._unmerged - self._caught_up.keys():
            self._unmerged.discard(account_id)
            self._merge_due(account_id, self._extractor)
        return count

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

    def _due(self, limit: int) -> list[Waiting]:
        """What is to be read next, but for the accounts that are being caught up with."""
        for _ in range(2):
            batch = self._database.read(indexing.due, self._after, limit)
            others = [each for each in batch if each.account_id not in self._caught_up]
            if others or not batch:
                return others
            self._after = batch[-1].account_id
        return []

    def _catch_up(self, account_id: int, up_to: int) -> bool:
        """Index some of what waits of an account up to a message; whether there may be more."""
        try:
            batch = self._database.read(indexing.due_of, account_id, up_to, BATCH)
            if not batch or not self._index(batch, self._hastening)[0]:
                return False
            self._merge_due(account_id, self._hastening)  # many small ones would make the search slow that waits
            return True
        except StorageFailure as error:  # whoever searches will read what is left, and hear of it
            if not self._stopping.is_set():
                _log.warning("an account is not caught up with", account=ids.to_text(account_id), why=error.en)
            return False

    def _index(self, batch: Sequence[Waiting], extractor: Extractor) -> tuple[int, int]:
        """Index messages of a batch, as many as its bounds allow: how many were, or were put off, and the last account."""
        last = -1
        read: defaultdict[int, list[bytes]] = defaultdict(list)
        indexed: defaultdict[int, list[int]] = defaultdict(list)
        late: list[tuple[Waiting, int]] = []
        end, room = time.monotonic() + _BATCH_S, _BATCH_OCTETS
        opened = self._database.read(self._store.open_all, [each.blob_id for each in batch])
        for account_id, some in groupby(batch, key=lambda each: each.account_id):
            waiting = {each.message_id: each for each in some}
            contents = [(each.message_id, each.blob_id) for each in waiting.values()]
            for message_ids, found, failure in reading.read(extractor, contents, opened):
                content = found if failure is None else self._instead(waiting[message_ids[0]], failure)
                if content is None:
                    first = waiting[message_ids[0]]
                    late.append((first, now_ms() + _PAUSES_MS[first.attempts]))
                else:
                    read[account_id].append(content)
                    indexed[account_id] += message_ids
                    room -= len(content)
                if room < 0 or time.monotonic() > end:
                    break
            last = account_id
            if room < 0 or time.monotonic() > end:
                break
        if late:
            self._database.write(indexing.put_off, late)
        if read:
            made = [each for account_id, parts in read.items() for each in self._made(account_id, parts, extractor)]
            try:
                self._database.write(indexing.settle, made, indexed)
            except OvertakenError:
                _log.info("messages were indexed by another process", messages=sum(map(len, indexed.values())))
        self._unmerged.update(read)
        return len(late) + sum(map(len, indexed.values())), last

    def _instead(self, waiting: Waiting, failure: StorageFailure | UnreadableMessageError) -> bytes | None:
        """What stands in for the concordance of a message that was not read; None where it may be had later."""
        may_pass = isinstance(failure, StorageFailure) and not isinstance(failure, UnsealingFailure)
        if may_pass and waiting.attempts < len(_PAUSES_MS):
            _log.warning("message read later", message=ids.to_text(waiting.message_id), why=failure.en)
            return None
        return self._database.read(reading.set_aside, waiting.message_id, type(failure).__name__)

    def _made(self, account_id: int, parts: Sequence[bytes], extractor: Extractor) -> list[Made]:
        if len(parts) > 1:
            try:
                parts = [extractor.merge(parts)]
            except UnreadableMessageError:  # too much at once: they stay as they are
                _log.warning("what was read is not merged", account=ids.to_text(account_id), parts=len(parts))
        return [concordances.seal(self._store.ring, account_id, content) for content in parts]

    def _merge_due(self, account_id: int, extractor: Extractor) -> None:
        while account_id not in self._unmergeable and not self._stopping.is_set():
            kept = self._database.read(concordances.of_account, account_id)
            chosen = [kept[place] for place in together([(each.entries, each.volume.size) for each in kept])]
            if not chosen:
                return
            gone = self._database.read(indexing.forgotten_of, account_id)
            self._replace(account_id, chosen, set(gone), extractor)

    def _purge(self, account_id: int, before: int) -> None:
        """Write again the concordances that lost many messages, or one long ago."""
        gone = self._database.read(indexing.forgotten_of, account_id)
        held: set[int] = set()
        for kept in self._database.read(concordances.of_account, account_id):
            lost = gone.keys() & set(self._database.read(concordances.owners, self._store.ring, kept))
            if indexing.worth_purging(kept.entries, [gone[each] for each in lost], before):
                self._replace(account_id, [kept], lost, self._extractor)
            else:
                held |= lost
        # What none holds was never indexed; after a day, nothing that was under way then can show it any more.
        unheld = [each for each, at in gone.items() if each not in held and at < now_ms() - _DAY_MS]
        self._database.write(indexing.no_more_forgotten, account_id, unheld)

    def _replace(self, account_id: int, chosen: Sequence[Kept], gone: set[int], extractor: Extractor) -> None:
        """Put one concordance in place of several, without the messages that are gone; in small steps where it is large."""
        try:
            parts = [self._database.read(concordances.whole, self._store.ring, each) for each in chosen]
            purged = gone & {owner for part in parts for owner in compilation.owners(part)}
            content = extractor.merge(parts, purged)
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
            self._write_in_steps(made, hurried=extractor is self._hastening)
        try:
            self._database.write(indexing.replace, made, chosen, sorted(purged))
        except OvertakenError:
            _log.info("concordances were merged by another process", account=ids.to_text(account_id))
            return
        if not concordances.is_small(chosen):
            for each in chosen:
                self._sweep(each.volume.id, hurried=extractor is self._hastening)

    def _write_in_steps(self, made: Made, *, hurried: bool) -> None:
        self._database.write(concordances.begin, made)
        for start in range(0, len(made.sheets), STEP):
            if not hurried:
                self._give_way()
            self._database.write(sheets.insert, made.volume.id, made.sheets[start : start + STEP], start)

    def _sweep(self, volume_id: int, *, hurried: bool = False) -> None:
        while not self._stopping.is_set():
            if not hurried:
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
