"""Modified UTF-7: one spelling a name, and no other is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.protocols.imap import modified_utf7


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("INBOX", b"INBOX"),
        ("", b""),
        ("A&B", b"A&-B"),
        ("été", b"&AOk-t&AOk-"),
        ("~peter/mail/台北/日本語", b"~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
        ("a\tb", b"a&AAk-b"),
        ("😀", b"&2D3eAA-"),
        ("&&", b"&-&-"),
        ("é&é", b"&AOk-&-&AOk-"),
    ],
)
def test_names_are_spelled_as_the_standard_says(text: str, spelled: bytes) -> None:
    assert modified_utf7.encode(text) == spelled
    assert modified_utf7.decode(spelled) == text


@pytest.mark.parametrize(
    "spelled",
    [
        b"&", b"a&", b"&AOk", b"&AOk-&AOk-", b"&AGE-", b"&AOl-", b"&AO-", b"&A-", b"&2D0-", b"&3gA-", b"&AOk=-", b"&AO/-",
        b"&AAAA-", b"\xc3\xa9", b"a\tb", b"&\xe9-", b"&AOk-\xe9", b"&ACY-", b"a\r\n", b"&AOkAYQ-", b"& -", b"&A Ok-",
    ],
)  # fmt: skip
def test_any_other_spelling_is_refused(spelled: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        modified_utf7.decode(spelled)


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=30))
def test_every_text_reads_back(text: str) -> None:
    spelled = modified_utf7.encode(text)
    assert spelled.isascii()
    assert modified_utf7.decode(spelled) == text


@given(st.binary(max_size=12) | st.text("&-AOkt,+/=", max_size=12).map(str.encode))
def test_what_is_read_is_the_one_spelling(octets: bytes) -> None:
    try:
        text = modified_utf7.decode(octets)
    except ValueError:
        return
    assert modified_utf7.encode(text) == octets
