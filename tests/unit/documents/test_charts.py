"""Charts: well-formed whatever the texts, their marks as long as their numbers say."""

import re

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from vaguemestre.documents.charts import Bar, Point, shares

_SVG = "{http://www.w3.org/2000/svg}"
TEXTS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=60)
SHARES = st.floats(0, 1)


def marks(chart: str) -> list[float]:
    """The widths of the bars, in order."""
    tree = etree.fromstring(chart.encode())
    return [float(each.get("width")) for each in tree.iter(f"{_SVG}rect") if each.find(f"{_SVG}title") is not None]


@given(
    TEXTS,
    TEXTS,
    st.lists(st.builds(Bar, TEXTS, SHARES, TEXTS), max_size=8),
    st.lists(st.builds(Point, TEXTS, SHARES), max_size=30),
)
def test_any_values_make_a_chart(title: str, subtitle: str, bars: list[Bar], line: list[Point]) -> None:
    tree = etree.fromstring(shares(title, subtitle, bars, line, title).encode())
    assert tree.get("role") == "img"
    assert (tree.find(f"{_SVG}title").text or "") == title
    assert len(marks(shares(title, subtitle, bars))) == len(bars)
    assert len(list(tree.iter(f"{_SVG}circle"))) == (len(line) if len(line) > 1 else 0)
    height = float(tree.get("height"))
    assert all(0 <= float(each.get("y")) <= height for each in tree.iter(f"{_SVG}text"))
    assert all(0 <= float(each.get("cy")) <= height for each in tree.iter(f"{_SVG}circle"))


def test_bars_are_as_long_as_their_shares() -> None:
    long, short, none = marks(shares("t", "s", [Bar("a", 0.4, ""), Bar("b", 0.1, ""), Bar("c", 0.0, "")]))
    assert abs(long / short - 4) < 0.01
    assert none == 0


def test_texts_are_escaped_and_long_ones_cut() -> None:
    chart = shares("<b>&", "s", [Bar("x" * 200, 0.5, "50 %")])
    assert "<b>" not in chart
    shown = re.findall(r">(x+…)<", chart)
    assert len(shown) == 1
    assert len(shown[0]) < 60
    assert "50 %" in chart


def test_a_line_of_many_months_names_some_of_them() -> None:
    line = [Point(f"2024-{number:02d}", number / 100) for number in range(1, 40)]
    chart = shares("t", "s", [], line, "Mois par mois")
    named = re.findall(r">(2024-\d\d)<", chart)
    assert 5 < len(named) <= 13
    assert named[-1] == "2024-39"
    assert "39,0 %" in chart
