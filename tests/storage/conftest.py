"""What tests of search share: the process that reads messages, started once."""

from collections.abc import Iterator

import pytest

from vaguemestre.mailstore.extraction import Extractor


@pytest.fixture(scope="session")
def extractor() -> Iterator[Extractor]:
    """A process that reads messages; it may be crashed, another takes over."""
    found = Extractor(niceness=0)
    yield found
    found.close()
