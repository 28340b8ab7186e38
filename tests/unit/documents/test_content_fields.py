"""Content-* fields: types, parameters in sections, dispositions, as software writes them and breaks them."""

import pytest

from vaguemestre.documents.content_fields import (
    Disposition,
    Parameter,
    decoded_parameter,
    read_disposition,
    read_languages,
    read_type,
)


@pytest.mark.parametrize(
    ("value", "kind", "parameters"),
    [
        (b"text/plain", (b"text", b"plain"), ()),
        (b"Text / HTML ; Charset = UTF-8", (b"Text", b"HTML"), ((b"Charset", b"UTF-8"),)),
        (b'a/b; n="x;y"; m="a\\"b"', (b"a", b"b"), ((b"n", b"x;y"), (b"m", b'a"b'))),
        (b"(c) a (d) / b (e); (f) n=(g)x (h)", (b"a", b"b"), ((b"n", b"x"),)),
        (b"a/b; name=compte rendu (1).pdf; m=1", (b"a", b"b"), ((b"name", b"compte rendu (1).pdf"), (b"m", b"1"))),
        (b"a/b; filename=a b.pdf (c); m=", (b"a", b"b"), ((b"filename", b"a b.pdf"), (b"m", b""))),
        (b"a/b; boundary=b c; m= x y", (b"a", b"b"), ((b"boundary", b"b"), (b"m", b"x"))),
        (b"a/b;; n=x;", (b"a", b"b"), ((b"n", b"x"),)),
        (b"a/b n=x", (b"a", b"b"), ((b"n", b"x"),)),
        (b"a/b; n; =x; m=", (b"a", b"b"), ((b"m", b""),)),
        (b'a/b; n="unclosed', (b"a", b"b"), ((b"n", b"unclosed"),)),
        (b"a/b; n=1; N=2", (b"a", b"b"), ((b"n", b"1"), (b"N", b"2"))),
        (b"a/b; n=caf\xc3\xa9", (b"a", b"b"), ((b"n", b"caf\xc3\xa9"),)),
        (b"text", (b"text", b"plain"), ()),
        (b"multipart; boundary=b", (b"multipart", b"mixed"), ((b"boundary", b"b"),)),
        (b"application octet stream", (b"text", b"plain"), ()),
        (b"", (b"text", b"plain"), ()),
        (b"/", (b"text", b"plain"), ()),
    ],
)
def test_types(value: bytes, kind: tuple[bytes, bytes], parameters: tuple[Parameter, ...]) -> None:
    media, subtype, found = read_type(value)
    assert ((media, subtype), found) == (kind, parameters)


@pytest.mark.parametrize(
    ("text", "parameters", "decoded"),
    [
        (b"n=x", ((b"n", b"x"),), "x"),
        (b"n*=utf-8''r%C3%A9sum%C3%A9", ((b"n*", b"utf-8''r%C3%A9sum%C3%A9"),), "résumé"),
        (b"n*=iso-8859-1'fr'%E9t%E9", ((b"n*", b"iso-8859-1'fr'%E9t%E9"),), "été"),
        (b"n*0=a; n*1=b", ((b"n", b"ab"),), "ab"),
        (b"n*1=b; n*0=a", ((b"n", b"ab"),), "ab"),
        (b"n*0*=utf-8''%C3%A9; n*1=\" a%b\"; n*2*=%C3%A9", ((b"n*", b"utf-8''%C3%A9%20a%25b%C3%A9"),), "é a%bé"),
        (b"n*0=a; n*2=c", ((b"n", b"a"),), "a"),
        (b"n*=utf-8''x; n=y", ((b"n", b"y"), (b"n*", b"utf-8''x")), "x"),
        (b"n*=x", ((b"n*", b"x"),), "x"),
        (b"n*=utf-8''%ZZ%", ((b"n*", b"utf-8''%ZZ%"),), "%ZZ%"),
        (b'n="=?utf-8?B?w6k=?="', ((b"n", b"=?utf-8?B?w6k=?="),), "é"),
        (b"n=caf\xe9", ((b"n", b"caf\xe9"),), "café"),
        (b"n*=utf-8''a%00%0Ab", ((b"n*", b"utf-8''a%00%0Ab"),), "a b"),
    ],
)
def test_parameters_in_sections_and_charsets(text: bytes, parameters: tuple[Parameter, ...], decoded: str) -> None:
    found = read_type(b"a/b; " + text)[2]
    assert found == parameters
    assert decoded_parameter(found, b"n") == decoded


def test_dispositions() -> None:
    assert read_disposition(b"ATTACHMENT; filename=x.pdf") == Disposition(b"ATTACHMENT", ((b"filename", b"x.pdf"),))
    assert read_disposition(b'"inline"') == Disposition(b"inline", ())
    assert read_disposition(b"; filename=x") is None
    assert read_disposition(b"") is None


def test_languages() -> None:
    assert read_languages(b'fr, en-US,, "x", de-DE (c)') == (b"fr", b"en-US", b"de-DE")


def test_structured_fields_are_bounded() -> None:
    assert len(read_type(b"a/b" + b"; x=y" * 100_000)[2]) <= 1000
