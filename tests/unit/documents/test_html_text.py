"""HTML made text: words only, in lines as people saw them, from anything that calls itself HTML."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vaguemestre.documents.html_text import html_text


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain", "plain"),
        ("<p>one</p><p>two<br>three", "one\n\ntwo\nthree"),
        ("a <b>b</b>c\n\n  d", "a bc d"),
        ("<div><div><div>x</div></div></div><br><br><br>y", "x\n\ny"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table>", "a b\n\nc"),
        ("&eacute;&#233;&#xe9;&amp;lt;&nbsp;&bogus;&", "ééé&lt; &bogus;&"),
        ("&#0;&#99999999999999999999;&#xffffffffff;", "\ufffd\ufffd\ufffd"),
        ("<script>var a = '<p>';</script>x<SCRIPT >y</script\n>z", "xz"),
        ("<style>p { color: red }</style>x<title>t</title>", "x"),
        ("a<!-- <p> hidden -->b<!-- never closed", "ab"),
        ("a<script>never closed", "a"),
        ("a < b > c <3 <", "a < b > c <3 <"),
        ("<p unclosed", "<p unclosed"),
        ("<?xml version='1'?><!DOCTYPE html>x<![CDATA[y]]>", "x"),
        ("a<blockquote>b<br>c<blockquote>d</blockquote></blockquote>e", "a\n> b\n> c\n> > d\n>\ne"),
        ("<pre>a\n  b</pre>", "a\nb"),
        ("</blockquote></pre>x", "x"),
        ("", ""),
    ],
)
def test_words_in_lines(source: str, expected: str) -> None:
    assert html_text(source) == expected


def test_output_is_bounded() -> None:
    assert len(html_text("<p>word " * 100_000, 1000)) <= 1100


@pytest.mark.parametrize(
    "piece",
    [
        "<",
        "<a",
        "<a ",
        "<!--",
        "<!-- >",
        "<script>",
        "<br>",
        "<p>&amp;",
        "&",
        "&#9",
        " ",
        "\n ",
        "<pre>\n",
        "<blockquote>",
    ],
)
def test_hostile_megabytes_are_read_in_linear_time(piece: str) -> None:
    start = time.process_time()
    html_text("x" + piece * (500_000 // len(piece)) + "x")
    assert time.process_time() - start < 5


@given(
    st.lists(
        st.sampled_from(["<p>", "<", ">", "<!--", "-->", "<script>", "</script>", "&#", "x", " ", "\n", '"', "</"])
    )
)
def test_nothing_raises(pieces: list[str]) -> None:
    html_text("".join(pieces))
