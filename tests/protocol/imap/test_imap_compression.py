"""COMPRESS=DEFLATE: both directions, and what hostile streams cost."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.imap.compression import CompressionError, Deflate, Inflate


def everything(inflate: Inflate, most: int = 1000) -> bytes:
    found = b""
    while piece := inflate.read(most):
        assert len(piece) <= most
        found += piece
    return found


@given(st.lists(st.binary(max_size=300), max_size=8), st.integers(1, 50), st.integers(1, 400))
def test_what_is_deflated_inflates_at_once_however_it_is_cut(pieces: list[bytes], size: int, most: int) -> None:
    deflate, inflate = Deflate(), Inflate()
    for piece in pieces:
        compressed, heard = deflate.compress(piece), b""
        for start in range(0, len(compressed), size):
            inflate.feed(compressed[start : start + size])
            heard += everything(inflate, most)
        assert heard == piece


def test_a_client_may_use_the_whole_window_and_any_flush() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15, 9)
    inflate = Inflate()
    inflate.feed(stream.compress(b"a NOOP\r\n" * 20_000) + stream.flush(zlib.Z_FULL_FLUSH))
    assert everything(inflate) == b"a NOOP\r\n" * 20_000


def test_a_few_octets_that_stand_for_many_come_out_in_bounded_pieces() -> None:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = stream.compress(b"\0" * 10_000_000) + stream.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 12_000
    inflate = Inflate()
    inflate.feed(bomb)
    assert len(inflate.read(4096)) == 4096
    assert len(everything(inflate, 65_536)) == 10_000_000 - 4096


@pytest.mark.parametrize(
    "stream",
    [b"a NOOP\r\n\xff\xff", zlib.compress(b"a NOOP\r\n"), zlib.compress(b"a NOOP\r\n", wbits=-15), b"\x07\x00"],
)
def test_what_is_no_endless_deflate_stream_is_an_error(stream: bytes) -> None:
    inflate = Inflate()
    inflate.feed(stream)
    with pytest.raises(CompressionError):
        everything(inflate)
