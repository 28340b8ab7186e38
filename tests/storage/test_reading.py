"""What cannot be read: told where something is wrong, and passed over in silence where the message is merely no more."""

import pytest

from simulators.archive import Archive
from vaguemestre.mailstore import reading
from vaguemestre.mailstore.extraction import Extractor
from vaguemestre.storage.blobs import BlobStore
from vaguemestre.storage.database import Database


def test_a_message_expunged_before_it_was_read_is_no_matter_for_the_log(
    database: Database, blob_store: BlobStore, extractor: Extractor, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = Archive(database, blob_store, extractor)
    damaged, expunged = archive.deliver("Subject: a\n\na\n", "Subject: b\n\nb\n")
    archive.delete(expunged)
    capsys.readouterr()
    database.read(reading.set_aside, expunged, "UnsealingFailure")
    assert "set aside" not in "".join(capsys.readouterr())
    database.read(reading.set_aside, damaged, "UnsealingFailure")
    assert "set aside" in "".join(capsys.readouterr())
