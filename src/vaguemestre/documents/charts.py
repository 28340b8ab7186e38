"""Charts as SVG: bars of shares, and a line through months. Values to text; no I/O.

What it keeps true: every text is escaped; a chart reads without colour, its numbers being written beside its marks, and by
a screen reader (`title`, `desc`, `role`).

Rules: sizes are in pixels at 96 a inch; text is in whatever sans serif there is, and given the room of a wide one; colours
contrast with white by 4.5 and more.

SVG 1.1; WCAG 2.2 §1.1.1, §1.4.1, §1.4.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

_WIDTH = 900
_MARGIN = 32
_LABEL_WIDTH = 300
_ROW = 26
_BAR = 16
_PLOT_HEIGHT = 200
_STEPS = 5  # every scale divides by it into round shares
_INK, _PALE, _MARK, _TRACK = "#1d2733", "#5b6673", "#0b5f8a", "#e6ebf0"
_WIDE = 7.4  # pixels a character of 13 takes at the most, on average


@dataclass(frozen=True, slots=True)
class Bar:
    """A share, of one, and the text written after it."""

    label: str
    share: float
    note: str


@dataclass(frozen=True, slots=True)
class Point:
    """A share, of one, at a place of the line that has a name."""

    label: str
    share: float


def shares(title: str, subtitle: str, bars: Sequence[Bar], line: Sequence[Point] = (), line_title: str = "") -> str:
    """A chart of bars, the scale from nothing to the next round share; under it, where there are two points, a line."""
    top = _scale(max((bar.share for bar in bars), default=0.0))
    parts, y = _heading(title, subtitle)
    left, right = _MARGIN + _LABEL_WIDTH, _WIDTH - _MARGIN - 150
    parts += [
        _text(left, y - 6, "0 %", colour=_PALE, size=11),
        _text(right, y - 6, f"{top * 100:g} %", anchor="end", colour=_PALE, size=11),
    ]
    for number, bar in enumerate(bars):
        middle = y + number * _ROW + _ROW // 2
        width = (right - left) * min(bar.share / top, 1.0)
        parts += [
            _text(left - 10, middle + 4, _shortened(bar.label, _LABEL_WIDTH - 10), anchor="end"),
            f'<rect x="{left}" y="{middle - _BAR // 2}" width="{right - left}" height="{_BAR}" rx="2" fill="{_TRACK}"/>',
            f'<rect x="{left}" y="{middle - _BAR // 2}" width="{width:.1f}" height="{_BAR}" rx="2" fill="{_MARK}">'
            f"<title>{escape(f'{bar.label} : {bar.note}')}</title></rect>",
            _text(right + 10, middle + 4, bar.note, colour=_PALE),
        ]
    y += len(bars) * _ROW + _MARGIN
    if len(line) > 1:
        drawn, y = _line(line, line_title, y)
        parts += drawn
    return _document(title, subtitle, parts, y)


def _line(points: Sequence[Point], title: str, y: int) -> tuple[list[str], int]:
    top = _scale(max(point.share for point in points))
    left, right = _MARGIN + 60, _WIDTH - _MARGIN - 60
    base = y + 30 + _PLOT_HEIGHT
    parts = [_text(_MARGIN, y + 12, title, size=15, weight=600)]
    for step in range(_STEPS + 1):
        height = base - _PLOT_HEIGHT * step / _STEPS
        parts += [
            f'<line x1="{left}" y1="{height:.1f}" x2="{right}" y2="{height:.1f}" stroke="{_TRACK}"/>',
            _text(left - 8, height + 4, _percent(top * step / _STEPS), anchor="end", colour=_PALE, size=12),
        ]
    places = [
        (left + (right - left) * number / (len(points) - 1), base - _PLOT_HEIGHT * point.share / top)
        for number, point in enumerate(points)
    ]
    path = " ".join(f"{'L' if number else 'M'}{x:.1f} {height:.1f}" for number, (x, height) in enumerate(places))
    parts.append(f'<path d="{path}" fill="none" stroke="{_MARK}" stroke-width="2.5"/>')
    spaced = -(-len(points) // 12)
    for number, ((x, height), point) in enumerate(zip(places, points, strict=True)):
        last = number == len(points) - 1
        parts.append(
            f'<circle cx="{x:.1f}" cy="{height:.1f}" r="4" fill="{_MARK}">'
            f"<title>{escape(f'{point.label} : {_percent(point.share)}')}</title></circle>"
        )
        if (len(points) - 1 - number) % spaced == 0:
            parts.append(_text(x, base + 20, point.label, anchor="middle", colour=_PALE, size=12))
        if last or number == 0:
            side = "middle" if last else "start"  # clear of the scale
            parts.append(_text(x, height - 12, _percent(point.share), anchor=side, weight=600))
    return parts, base + 20 + _MARGIN


def _heading(title: str, subtitle: str) -> tuple[list[str], int]:
    return [
        _text(_MARGIN, _MARGIN + 14, title, size=20, weight=600),
        _text(_MARGIN, _MARGIN + 36, subtitle, colour=_PALE),
    ], _MARGIN + 70


def _document(title: str, description: str, parts: Sequence[str], height: int) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" '
        'role="img" aria-labelledby="title desc" font-family="system-ui, \'DejaVu Sans\', Arial, sans-serif">\n'
        f'<title id="title">{escape(title)}</title>\n<desc id="desc">{escape(description)}</desc>\n'
        f'<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", colour: str = _INK, size: int = 13, weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _shortened(text: str, width: int) -> str:
    most = int(width / _WIDE)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _scale(share: float) -> float:
    """The round share at the end of a scale that holds this one."""
    return next((step for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.4, 0.5, 0.6, 0.8) if share <= step), 1.0)


def _percent(share: float) -> str:
    return f"{share * 100:.1f} %".replace(".", ",")
