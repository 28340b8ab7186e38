"""The words of an HTML text, for reading without a browser: no mark-up, script, style or comment.

What holds here: nothing raises, the time is linear in the size, and what comes out is plain text that nothing will run.
It is no sanitizer: its output is not HTML.

Rules: a block is lines of its own; what stands in a `blockquote` has `> ` before its lines, as in plain mail; runs of
white space are one space but in `pre`.
"""

import html
import re

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*)[^>]*>|<[!?/][^>]*>")
_SILENT = frozenset({"script", "style", "title", "template", "noframes", "noembed", "iframe", "textarea", "select"})
_END = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in _SILENT}
_BLOCKS = frozenset(
    {
        "address", "article", "aside", "blockquote", "body", "br", "center", "dd", "div", "dl", "dt", "fieldset",
        "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html", "li",
        "main", "nav", "ol", "p", "pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul",
    }
)  # fmt: skip
_CELLS = frozenset({"td", "th"})
_HUGE_NUMBER = re.compile(r"&#(?:[0-9]{8,}|[xX][0-9a-fA-F]{8,});?")
_SPACE = re.compile(r"[ \t\r\n\f\v]+")
_AROUND_LINES = re.compile(r"(?<![ \t])[ \t]++(?=\n|\Z)|(?<=\n)[ \t]++")
_EMPTY_LINES = re.compile(r"(\n[> ]*+)(?:\n[> ]*+(?=\n|\Z))++")
_DEEPEST_QUOTE = 5


def html_text(source: str, limit: int = 1_048_576) -> str:
    """The text of an HTML document or fragment, about `limit` characters at most."""
    pieces: list[str] = []
    length = position = quoted = preformatted = 0
    # Beyond these there is no end of a tag, or of a comment: looking for one again and again would be slow.
    last_tag_end, last_comment_end = source.rfind(">"), source.rfind("-->")
    while length < limit:
        start = source.find("<", position)
        text = source[position : start if start >= 0 else len(source)][:limit]
        if text:
            text = _plain(text, preformatted > 0)
            pieces.append(text)
            length += len(text)
        if start < 0:
            break
        if source.startswith("<!--", start):
            if start > last_comment_end:
                break
            position = source.index("-->", start) + 3
            continue
        tag = _TAG.match(source, start) if start < last_tag_end else None
        if not tag:
            pieces.append("<")
            position, length = start + 1, length + 1
            continue
        position, name = tag.end(), (tag[2] or "").lower()
        if name in _SILENT and not tag[1]:
            end = _END[name].search(source, position)
            if not end:
                break
            position = end.start()
        elif name in _BLOCKS:
            step = -1 if tag[1] else 1
            if name == "blockquote":
                quoted = max(0, quoted + step)
            elif name == "pre":
                preformatted = max(0, preformatted + step)
            pieces.append("\n" + "> " * min(quoted, _DEEPEST_QUOTE))
            length += 1
        elif name in _CELLS and not tag[1]:
            pieces.append(" ")
            length += 1
    text = _AROUND_LINES.sub("", "".join(pieces))
    return _EMPTY_LINES.sub(r"\1", text).strip()


def _plain(text: str, preformatted: bool) -> str:
    if "&" in text:
        text = html.unescape(_HUGE_NUMBER.sub("\N{REPLACEMENT CHARACTER}", text))
    text = text.replace("\N{NO-BREAK SPACE}", " ")
    return text if preformatted else _SPACE.sub(" ", text)
