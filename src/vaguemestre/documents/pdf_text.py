"""The text of a PDF, page after page.

What holds here: a document that cannot be read, or asks for a password, gives no text, and raises nothing; pages and
characters are bounded. The library that reads it is written in C++ and the document comes from anywhere: call this in a
process of its own, with bounds on its time and memory.

ISO 32000; PDFium.
"""

from typing import BinaryIO

import pypdfium2

PAGES = 500
TEXT_LIMIT = 1_048_576


def pdf_text(content: bytes | BinaryIO, pages: int = PAGES, limit: int = TEXT_LIMIT) -> str:
    """The text of the first `pages` pages, `limit` characters at most; an empty line between two pages. A file is read as
    it is needed, from its start."""
    texts: list[str] = []
    length = 0
    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError:
        return ""
    try:
        for number in range(min(len(document), pages)):
            if length >= limit:
                break
            text = _page_text(document, number, limit - length)
            if text:
                texts.append(text)
                length += len(text) + 2
    finally:
        document.close()
    return "\n\n".join(texts)[:limit]


def _page_text(document: pypdfium2.PdfDocument, number: int, limit: int) -> str:
    try:
        page = document[number]
        try:
            layer = page.get_textpage()
            try:
                text: str = layer.get_text_range(0, min(layer.count_chars(), limit))
            finally:
                layer.close()
        finally:
            page.close()
    except pypdfium2.PdfiumError:  # this page is broken; the others may not be
        return ""
    return text.replace("\r\n", "\n").replace("\0", "").strip()
