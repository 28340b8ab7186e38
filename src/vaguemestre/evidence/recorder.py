"""Records facts that stand alone, such as a refusal: no transaction of another makes them true.

What it keeps true: the caller never waits; a peer that is refused again and again fills neither the journal nor the disk:
of one cause, a few entries a minute, then their count with the first entry of the next minute.
"""

import time

from vaguemestre import log
from vaguemestre.errors import StorageFailure
from vaguemestre.evidence import journal
from vaguemestre.evidence.entries import Entry
from vaguemestre.storage.database import Database

_WINDOW_S = 60.0
_MOST_A_WINDOW = 20
_MOST_CAUSES = 10_000
_log = log.get("evidence.recorder")


class Recorder:
    """Appends single entries in the background, from an event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._causes: dict[str, tuple[float, int]] = {}

    def record(self, cause: str, entry: Entry) -> None:
        """Append an entry soon, unless its cause, any text, was recorded too often within the minute."""
        now = time.monotonic()
        since, count = self._causes.get(cause, (now, 0))
        if now - since >= _WINDOW_S:
            if count > _MOST_A_WINDOW:
                entry.facts["unrecorded"] = count - _MOST_A_WINDOW
            since, count = now, 0
        if len(self._causes) >= _MOST_CAUSES:
            self._causes.clear()
        self._causes[cause] = (since, count + 1)
        if count >= _MOST_A_WINDOW:
            return
        try:
            appended = self._database.write_together(journal.append, entry)
        except StorageFailure:
            return  # closing: the refusal stands, only its record is lost with the process
        appended.add_done_callback(lambda done: _notice(done.exception()))


def _notice(error: BaseException | None) -> None:
    if error is not None:
        _log.error("an entry could not be recorded", error=str(error))
