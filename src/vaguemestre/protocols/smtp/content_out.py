"""Message content on its way out: lines checked, dots doubled, in one pass over each chunk and without copies of it
where nothing has to change.

Rules: content leaves only if each CR and LF is half of a CRLF, because what a careless receiver takes for an end of
data between two others is how mail is smuggled; a line that starts with a dot gets a second one (DATA only).

RFC 5321 §2.3.8, §4.1.1.4, §4.5.2.
"""

from vaguemestre.errors import VaguemestreError


class BareLineEnding(VaguemestreError):
    """The content holds a CR or an LF alone; it must not leave as it is."""


class DotStuffer:
    """Doubles the dots that start a line, whatever the chunks."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the content starts at the start of a line

    def stuff(self, chunk: bytes) -> bytes:
        """`chunk` as it must be written after DATA."""
        if not chunk:
            return b""
        # What a CRLF cut by the chunk's edge hides from `replace`: a dot at 0 or at 1.
        if self._tail == b"\r\n" and chunk.startswith(b"."):
            stuffed = b"." + chunk
        elif self._tail.endswith(b"\r") and chunk.startswith(b"\n."):
            stuffed = b"\n." + chunk[1:]
        else:
            stuffed = chunk
        self._tail = chunk[-2:] if len(chunk) > 1 else self._tail[-1:] + chunk
        return stuffed.replace(b"\r\n.", b"\r\n..")

    def end(self) -> bytes:
        """The end of data, with the CRLF that the content lacks, if it does."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class LineEndings:
    """Sees that every CR and LF of a stream is half of a CRLF."""

    __slots__ = ("_after_cr",)

    def __init__(self) -> None:
        self._after_cr = False

    def check(self, chunk: bytes) -> None:
        """Raises BareLineEnding as soon as one is certain."""
        if not chunk:
            return
        starts_with_lf = chunk[0] == 10
        if self._after_cr and not starts_with_lf:
            raise _bare()
        pairs = chunk.count(b"\r\n")
        ends_with_cr = chunk[-1] == 13
        if chunk.count(b"\n") != pairs + (self._after_cr and starts_with_lf):
            raise _bare()
        if chunk.count(b"\r") != pairs + ends_with_cr:
            raise _bare()
        self._after_cr = ends_with_cr

    def end(self) -> None:
        """Raises BareLineEnding when the content ends on a CR."""
        if self._after_cr:
            raise _bare()


def _bare() -> BareLineEnding:
    return BareLineEnding(
        "The message holds line endings that mail between operators does not allow (CR or LF alone); the software that"
        " made it must write CRLF.",
        "Le message contient des fins de ligne interdites entre opérateurs (CR ou LF isolés) ; le logiciel qui l'a"
        " produit doit écrire CRLF.",
    )
