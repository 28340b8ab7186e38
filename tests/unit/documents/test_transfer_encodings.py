"""Transfer encodings: what decodes is given, in any cutting; what does not is passed over."""

import base64
import binascii
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.transfer_encodings import UnknownEncodingError, decode, decoder


@pytest.mark.parametrize(
    ("encoding", "encoded", "expected"),
    [
        (b"", b"a\r\n\0", b"a\r\n\0"),
        (b"7BIT", b"x", b"x"),
        (b"binary", b"\xff", b"\xff"),
        (b"base64", b"QUJD\r\nREVG\r\n", b"ABCDEF"),
        (b"Base64", b"QQ==", b"A"),
        (b"base64", b"QQ", b"A"),
        (b"base64", b"Q", b""),
        (b"base64", b"QQ==QkI=", b"ABB"),
        (b"base64", b" Q!U\tJ-D ", b"ABC"),
        (b"base64", b"====", b""),
        (b"base64", b"", b""),
        (b"quoted-printable", b"a=C3=a9=\r\nb=20\r\n", b"a\xc3\xa9b \r\n"),
        (b"quoted-printable", b"soft = \t\r\nbreak  \r\n", b"soft break\r\n"),
        (b"quoted-printable", b"no=escape =ZZ =4 =", b"no=escape =ZZ =4 "),
        (b"quoted-printable", b"a=\nb\nc_d", b"ab\nc_d"),
        (b"quoted-printable", b"end \t", b"end"),
        (b"quoted-printable", b"", b""),
    ],
)
def test_what_is_decoded(encoding: bytes, encoded: bytes, expected: bytes) -> None:
    assert decode(encoding, encoded) == expected


def test_an_unknown_encoding_says_so() -> None:
    with pytest.raises(UnknownEncodingError) as refused:
        decoder(b"x-uuencode")
    assert refused.value.fr != refused.value.en


@given(data=st.binary(max_size=500), steps=st.lists(st.integers(1, 90), max_size=30))
def test_base64_in_any_cutting(data: bytes, steps: list[int]) -> None:
    assert _in_pieces(b"base64", base64.encodebytes(data).replace(b"\n", b"\r\n"), steps) == data


@given(data=st.binary(max_size=500), steps=st.lists(st.integers(1, 90), max_size=30))
def test_quoted_printable_in_any_cutting(data: bytes, steps: list[int]) -> None:
    encoded = binascii.b2a_qp(data, quotetabs=True, istext=False).replace(b"\n", b"\r\n")
    assert _in_pieces(b"quoted-printable", encoded, steps) == data


@given(
    data=st.lists(st.sampled_from([b"=", b"=4", b"A", b" ", b"\t", b"\r\n", b"\n", b"\r", b"=\r\n", b"Q", b"\xff"])),
    steps=st.lists(st.integers(1, 9), max_size=30),
    encoding=st.sampled_from([b"base64", b"quoted-printable"]),
)
def test_ugly_input_gives_the_same_in_any_cutting(data: list[bytes], steps: list[int], encoding: bytes) -> None:
    whole = b"".join(data)
    assert _in_pieces(encoding, whole, steps) == decode(encoding, whole)


def test_lines_without_end_are_read_in_linear_time_and_bounded_memory() -> None:
    start = time.process_time()
    for piece in (b" " * 100_000, b"=" * 100_000, b"a" * 100_000, b"=4" * 50_000, b"a =" * 30_000):
        undo = decoder(b"quoted-printable")
        for _ in range(20):
            undo.decode(piece)
        undo.finish()
    assert time.process_time() - start < 10


def _in_pieces(encoding: bytes, data: bytes, steps: list[int]) -> bytes:
    undo, decoded, at = decoder(encoding), [], 0
    for step in steps:
        decoded.append(undo.decode(data[at : at + step]))
        at += step
    return b"".join([*decoded, undo.decode(data[at:]), undo.finish()])
