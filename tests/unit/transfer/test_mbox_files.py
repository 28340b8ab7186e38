"""mbox: what was written is what is read, and of others' files all that can be read is."""

import contextlib
import io
import mailbox
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.mailstore.model import NO_FLAGS, Flag
from vaguemestre.mailstore.transfer import mbox
from vaguemestre.mailstore.transfer.mbox import CutShortError, ExpungedError, Read, StrayError
from vaguemestre.mailstore.transfer.model import Kept

SEPARATOR = b"From claire@nord.mssante.fr Sun Mar  1 12:00:00 2026"
AT = 1_772_366_400_000
LINES = (
    st.sampled_from(
        [SEPARATOR, b"From ", b"From ici on", b">From ", b">>>From x", b"", b"x" * 300, b">" * 20 + SEPARATOR, b"\xff\0",
         b"Status: RO", b"X-Vaguemestre: received=1; size=3", b"Fro", b">"]
    )
    | st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b""))
)  # fmt: skip
CONTENT = st.builds(
    lambda lines, end: b"\r\n".join(lines) + end, st.lists(LINES, max_size=8), st.sampled_from([b"", b"\r\n"])
)
KEPT = st.builds(
    lambda flags, keywords, at: Kept(1, 1, Flag(flags), tuple(sorted(keywords)), 0, at),
    st.integers(0, 31),
    st.sets(st.sampled_from(["$Forwarded", "a", "NonJunk"])),
    st.integers(0, 2**41),
)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few octets, so that everything is cut everywhere."""
    for name, value in (("_BLOCK", 32), ("_LONGEST_LINE", 200), ("_KEPT", 204)):
        monkeypatch.setattr(mbox, name, value)


def read(content: bytes) -> list[tuple[Read, bytes]]:
    return [(each, b"".join(each.content)) for each in mbox.read(io.BytesIO(content)) if isinstance(each, Read)]


@pytest.mark.usefixtures("small_blocks")
def test_what_was_written_is_read() -> None:
    @settings(max_examples=400)
    @given(st.lists(st.tuples(KEPT, CONTENT.filter(bool), st.integers(1, 9)), max_size=4))
    def check(messages: list[tuple[Kept, bytes, int]]) -> None:
        file = io.BytesIO()
        for kept, content, step in messages:
            sized = Kept(1, 1, kept.flags, kept.keywords, len(content), kept.received_at)
            mbox.write(file, sized, (content[start : start + step] for start in range(0, len(content), step)))
        found = read(file.getvalue())
        assert [content for _, content in found] == [content for _, content, _ in messages]
        assert all(each.ours for each, _ in found)
        assert [(each.stated.flags, each.stated.keywords, each.stated.received_at) for each, _ in found] == [
            (kept.flags, frozenset(kept.keywords), kept.received_at) for kept, _, _ in messages
        ]

    check()


@pytest.mark.usefixtures("small_blocks")
def test_any_bytes_are_read() -> None:
    @given(st.lists(LINES | st.just(b"\r"), max_size=12).map(b"\n".join), st.integers(0, 3))
    def check(content: bytes, skipped: int) -> None:
        offsets = []
        for number, each in enumerate(mbox.read(io.BytesIO(content))):
            if isinstance(each, Read):
                offsets.append(each.offset)
                if number % 4 >= skipped:
                    b"".join(each.content)
        assert offsets == sorted(set(offsets))
        assert all(mbox.begins(content[offset:].split(b"\n", 1)[0] + b"\n") for offset in offsets)

    check()


def test_it_is_an_mboxrd_that_others_read() -> None:
    file = io.BytesIO()
    content = b"Subject: a\r\n\r\nFrom here\r\n>From there\r\nFrom"
    mbox.write(file, Kept(7, 1, Flag.SEEN | Flag.FLAGGED, ("$Forwarded", "b"), len(content), AT + 123), [content])
    assert file.getvalue() == (
        b"From MAILER-DAEMON Sun Mar  1 12:00:00 2026\n"
        b"Status: RO\nX-Status: F\nX-Keywords: $Forwarded b\n"
        b"X-Vaguemestre: received=1772366400123; size=42             \n"
        b"Subject: a\n\n>From here\n>>From there\nFrom\n\n"
    )


def test_python_s_own_reader_finds_the_same_messages(tmp_path: Path) -> None:
    contents = [b"Subject: a\r\n\r\nFrom here\r\n", b"Subject: b\r\n\r\nb\r\n"]
    with (tmp_path / "box").open("w+b") as file:
        for content, flags in zip(contents, (Flag.SEEN | Flag.ANSWERED, NO_FLAGS), strict=True):
            mbox.write(file, Kept(1, 1, flags, (), len(content), AT), [content])
    with contextlib.closing(mailbox.mbox(tmp_path / "box", create=False)) as box:
        assert [message["Subject"] for message in box] == ["a", "b"]
        assert [message.get_flags() for message in box] == ["ROA", "O"]
        assert box[0].get_payload() == ">From here\n"


@pytest.mark.parametrize(
    ("line", "at"),
    [
        (b"From a@b.fr Sun Mar  1 12:00:00 2026", AT),
        (b"From - Sun Mar 01 12:00:00 2026", AT),
        (b"From a b c  Sun Mar  1 12:00 2026", AT),
        (b"From 1234@xxx Sun Mar 01 12:00:00 +0000 2026", AT),
        (b"From a@b Sun Mar  1 13:00:00 2026 +0100", AT),
        (b"From a@b Sun Mar  1 12:00:00 CET 2026", AT),
        (b"From a@b Sun, 1 Mar 2026 13:00:00 +0100", AT),
        (b"From a@b Sun Feb 30 12:00:00 2026", None),
        (b"From a@b Sun Xxx  1 12:00:00 2026", None),
    ],
)
def test_the_separators_of_many_programs_are_known(line: bytes, at: int | None) -> None:
    assert mbox.begins(line + b"\n")
    ((found, content),) = read(line + b"\nSubject: a\n\nb\n")
    assert (found.stated.received_at, content) == (at, b"Subject: a\r\n\r\nb\r\n")


@pytest.mark.parametrize(
    "line", [b"From here on", b"From Sunday to Monday", b"From a@b Sun Mar 1", b"from a Sun Mar 1 12:00:00 2026"[4:]]
)
def test_text_that_looks_alike_begins_no_message(line: bytes) -> None:
    ((_, content),) = read(SEPARATOR + b"\n\n" + line + b"\nb\n")
    assert content == b"\r\n" + line + b"\r\nb\r\n"


def test_messages_are_parted_with_or_without_an_empty_line_and_whatever_the_line_ends() -> None:
    for end in (b"\n", b"\r\n"):
        for gap in (b"", end):
            lines = SEPARATOR + end + b"Subject: a" + end + end + b"b" + end + gap
            assert [content for _, content in read(lines * 3)] == [b"Subject: a\r\n\r\nb\r\n"] * 3


def test_a_mark_at_the_start_of_the_file_is_no_part_of_it() -> None:
    assert len(read(b"\xef\xbb\xbf" + SEPARATOR + b"\na\n")) == 1


def test_what_stands_before_the_first_message_is_set_aside() -> None:
    found = list(mbox.read(io.BytesIO(b"rubbish\nmore\n\n" + SEPARATOR + b"\nSubject: a\n\n")))
    assert isinstance(found[0], StrayError)
    assert isinstance(found[1], Read)
    assert list(mbox.read(io.BytesIO(b"\n \n"))) == []


def test_a_message_cut_short_is_told_from_a_whole_one() -> None:
    file = io.BytesIO()
    for content in (b"Subject: a\r\n\r\nwhole\r\n", b"Subject: b\r\n\r\nalso whole\r\n"):
        mbox.write(file, Kept(1, 1, NO_FLAGS, (), len(content), AT), [content])
    whole = file.getvalue()
    assert len(read(whole)) == len(read(whole[:-1])) == 2
    for cut in (2, 5, 20):
        messages: Iterator[Read | StrayError] = mbox.read(io.BytesIO(whole[:-cut]))
        first = next(messages)
        assert isinstance(first, Read)
        assert b"".join(first.content).endswith(b"whole\r\n")
        second = next(messages)
        assert isinstance(second, Read)
        with pytest.raises(CutShortError):
            b"".join(second.content)


def test_flags_of_other_programs_are_read() -> None:
    head = b"Status: RO\r\nX-Status: AFD\r\nX-Keywords: NonJunk, $label1\r\nX-Mozilla-Keys: perso\r\n\r\n"
    ((found, _),) = read(SEPARATOR + b"\n" + head)
    marks = mbox.marks(head, found.stated)
    assert marks.flags == Flag.SEEN | Flag.ANSWERED | Flag.FLAGGED | Flag.DELETED
    assert marks.keywords == {"NonJunk", "$label1", "perso"}
    mozilla = mbox.marks(b"X-Mozilla-Status: 1003\r\n", found.stated)
    assert (mozilla.flags, mozilla.keywords) == (Flag.SEEN | Flag.ANSWERED, {"$Forwarded"})
    assert mozilla.received_at == AT
    with pytest.raises(ExpungedError):
        mbox.marks(b"X-Mozilla-Status: 0009\r\n", found.stated)
    assert mbox.marks(b"X-Mozilla-Status: zzzz\r\n", found.stated).flags == NO_FLAGS


def test_a_line_of_any_length_takes_little_memory() -> None:
    import tracemalloc

    class Endless(io.RawIOBase):
        left = 200

        def read(self, size: int = -1) -> bytes:
            self.left -= 1
            return SEPARATOR + b"\n" if self.left == 199 else b">" * size if self.left >= 0 else b""

    tracemalloc.start()
    message = next(each for each in mbox.read(Endless()) if isinstance(each, Read))  # type: ignore[arg-type]
    total = sum(len(chunk) for chunk in message.content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 199 * 262_144
    assert peak < 4_000_000
