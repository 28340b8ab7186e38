"""Bytes near a real list are read, or refused with words; never anything else."""

from datetime import UTC, datetime

import fuzz_allowlist
from hypothesis import given, settings
from hypothesis import strategies as st

from vaguemestre.trust import allowlist
from vaguemestre.trust.allowlist import AllowListError

_AT = datetime(2026, 3, 1, tzinfo=UTC)
_LIST = allowlist.render(
    [
        allowlist.entry("a.mssante.fr", 'CN=a,OU=1,O="C.H. DE  X",ST=Isère (38),C=FR'),
        allowlist.entry("b.example.org", 'CN=b, O=CENTRE "Y", C=FR', description="é & <"),
    ],
    _AT,
)
_PIECES = st.sampled_from(
    b"< > &#0; &amp; &x; <![CDATA[ ]]> <!-- --> <?x?> </Domaine> <Domaine> <!DOCTYPE \xff \xc2\xa0 xmlns='' <Nom/> "
    b'<ListeDomaines> &#13; \\ , = "'.split(b" ")
)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    fuzz_allowlist.check(data)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(_LIST)), st.integers(0, 40), st.one_of(_PIECES, st.binary(max_size=6)))))
def test_a_list_with_pieces_replaced(edits: list[tuple[int, int, bytes]]) -> None:
    data = _LIST
    for position, removed, piece in edits[:5]:
        data = data[:position] + piece + data[position + removed :]
    fuzz_allowlist.check(data)


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(max_size=30), st.text(max_size=60), st.text(max_size=30)), min_size=1, max_size=5))
def test_what_an_authority_renders_reads_back(texts: list[tuple[str, str, str]]) -> None:
    entries = [allowlist.entry("a.mssante.fr", "CN=a,C=FR")]
    entries += [allowlist.entry(domain, name, description=description) for domain, name, description in texts]
    try:
        rendered = allowlist.render(entries, _AT)
    except AllowListError:
        return
    assert allowlist.parse(rendered).names == allowlist.assemble(entries, _AT).names
