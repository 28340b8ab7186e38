"""Sealed content comes back whole or not at all: no byte altered, no chunk moved, dropped, cut or borrowed."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.storage import sealing
from vaguemestre.storage.keys import Keyring
from vaguemestre.storage.sealing import CHUNK, TAG, Sealer, UnsealingFailure

BORDERS = sorted({0, 1, *(k * CHUNK + d for k in (1, 2, 3) for d in (-1, 0, 1))})
RING = Keyring(bytes(32), {1: b"\x01" * 32})


def seal(content: bytes, step: int) -> tuple[bytes, bytes]:
    """The key, and the content sealed after being written `step` octets at a time."""
    sealer = Sealer()
    sealed = b"".join(sealer.write(content[start : start + step]) for start in range(0, len(content), step))
    return sealer.key, sealed + sealer.finish()


def unseal(key: bytes, sealed: bytes, size: int) -> bytes:
    aead, step = AESGCM(key), CHUNK + TAG
    number = sealing.chunk_count(size)
    return b"".join(
        sealing.open_chunk(aead, n, n == number - 1, sealed[n * step : (n + 1) * step]) for n in range(number)
    )


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("step", [7919, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK])
def test_any_size_comes_back_however_it_was_written(size: int, step: int) -> None:
    content = os.urandom(size)
    key, sealed = seal(content, step)
    assert len(sealed) == sealing.sealed_size(size)
    assert unseal(key, sealed, size) == content


@given(sizes=st.lists(st.integers(0, 2 * CHUNK), max_size=6))
@settings(max_examples=40)
def test_any_sequence_of_writes_comes_back(sizes: list[int]) -> None:
    pieces = [os.urandom(size) for size in sizes]
    sealer = Sealer()
    sealed = b"".join(sealer.write(piece) for piece in pieces) + sealer.finish()
    content = b"".join(pieces)
    assert unseal(sealer.key, sealed, len(content)) == content


@given(size=st.sampled_from([0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 77]), place=st.floats(0, 1), flip=st.integers(1, 255))
@settings(max_examples=150)
def test_any_altered_byte_is_refused(size: int, place: float, flip: int) -> None:
    key, sealed = seal(bytes(size), CHUNK)
    altered = bytearray(sealed)
    altered[min(int(place * len(sealed)), len(sealed) - 1)] ^= flip
    with pytest.raises(UnsealingFailure):
        unseal(key, bytes(altered), size)


@given(size=st.sampled_from([0, 1, CHUNK, CHUNK + 1, 3 * CHUNK]), left=st.floats(0, 1, exclude_max=True))
@settings(max_examples=60)
def test_content_cut_off_is_refused(size: int, left: float) -> None:
    key, sealed = seal(bytes(size), CHUNK)
    with pytest.raises(UnsealingFailure):
        unseal(key, sealed[: int(left * len(sealed))], size)


@pytest.mark.parametrize("size", [2 * CHUNK, 2 * CHUNK + 5, 3 * CHUNK])
def test_content_that_claims_to_end_earlier_is_refused(size: int) -> None:
    key, sealed = seal(bytes(size), CHUNK)
    for claimed in (size - CHUNK, CHUNK, 2 * CHUNK - 1):
        if claimed != size:
            with pytest.raises(UnsealingFailure):
                unseal(key, sealed[: sealing.sealed_size(claimed)], claimed)


def test_content_that_claims_to_go_on_is_refused() -> None:
    key, sealed = seal(bytes(CHUNK), CHUNK)
    with pytest.raises(UnsealingFailure):
        unseal(key, sealed + sealed, 2 * CHUNK)


@given(order=st.permutations(range(4)))
@settings(max_examples=24)
def test_chunks_in_another_order_are_refused(order: list[int]) -> None:
    content = b"".join(bytes([n]) * CHUNK for n in range(4))
    key, sealed = seal(content, CHUNK)
    step = CHUNK + TAG
    moved = b"".join(sealed[n * step : (n + 1) * step] for n in order)
    if order == [0, 1, 2, 3]:
        assert unseal(key, moved, len(content)) == content
    else:
        with pytest.raises(UnsealingFailure):
            unseal(key, moved, len(content))


def test_another_blobs_chunk_is_refused() -> None:
    key, _ = seal(bytes(100), CHUNK)
    _, other = seal(bytes(100), CHUNK)
    with pytest.raises(UnsealingFailure):
        unseal(key, other, 100)


def test_sealing_the_same_content_twice_gives_different_bytes() -> None:
    assert seal(bytes(100), CHUNK)[1] != seal(bytes(100), CHUNK)[1]


def test_a_wrapped_key_opens_only_with_its_wrapping_key_and_binding() -> None:
    key = os.urandom(32)
    number, wrapped = sealing.wrap(RING, key, b"this blob")
    assert key not in wrapped
    sealed = AESGCM(key).encrypt(bytes(12), b"content", None)
    assert sealing.unwrap(RING, number, wrapped, b"this blob").decrypt(bytes(12), sealed, None) == b"content"
    with pytest.raises(UnsealingFailure):
        sealing.unwrap(RING, number, wrapped, b"that blob")
    with pytest.raises(UnsealingFailure):
        sealing.unwrap(Keyring(bytes(32), {1: b"\x02" * 32}), number, wrapped, b"this blob")
    with pytest.raises(UnsealingFailure):
        sealing.unwrap(Keyring(bytes(32), {2: b"\x01" * 32}), number, wrapped, b"this blob")


@given(length=st.integers(0, 59))
def test_a_wrapped_key_cut_off_is_refused(length: int) -> None:
    number, wrapped = sealing.wrap(RING, bytes(32), b"")
    with pytest.raises(UnsealingFailure):
        sealing.unwrap(RING, number, wrapped[:length], b"")


def test_rotation_wraps_with_the_new_key_and_the_old_one_still_opens() -> None:
    number, wrapped = sealing.wrap(RING, bytes(32), b"b")
    rotated = Keyring(bytes(32), {**RING.content, 2: b"\x02" * 32})
    sealing.unwrap(rotated, number, wrapped, b"b")
    assert sealing.wrap(rotated, bytes(32), b"b")[0] == 2
