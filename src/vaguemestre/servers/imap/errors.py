"""What mail programs are told: the one table from error to status and response code.

Rules: an error says the fact, this table the code (RFC 9051 §7.1, RFC 5530). Words go French first; a response is ASCII
alone, so accents are left out.
"""

import unicodedata

from vaguemestre import log
from vaguemestre.errors import KeyFailure, StorageFailure, VaguemestreError
from vaguemestre.mailstore import model
from vaguemestre.protocols.imap import responses


class AnswerError(VaguemestreError):
    """A command that cannot be done for a fact of the session itself, with the status and code to answer."""

    def __init__(self, status: str, code: bytes, en: str, fr: str = "") -> None:
        super().__init__(en, fr)
        self.status = status
        self.code = code


# The first class that fits decides.
_CODES: tuple[tuple[type[VaguemestreError], bytes], ...] = (
    (model.UnknownMailboxError, b"NONEXISTENT"),
    (model.MailboxExistsError, b"ALREADYEXISTS"),
    (model.SpecialMailboxError, b"CANNOT"),
    (model.MailboxNameError, b"CANNOT"),
    (model.TooManyMailboxesError, b"LIMIT"),
    (model.KeywordError, b"LIMIT"),
    (model.TooManyKeywordsError, b"LIMIT"),
    (model.MailboxFullError, b"LIMIT"),
    (model.QuotaExceededError, b"OVERQUOTA"),
    (model.AccountClosedError, b"NOPERM"),
)
_log = log.get("servers.imap.errors")
_TROUBLE = VaguemestreError(
    "Trouble on our side; nothing is lost, try again later.",
    "Incident de notre côté ; rien n'est perdu, réessayez plus tard.",
)


def refusal(tag: bytes, error: Exception) -> bytes:
    """The tagged response to an error; a defect of ours is said to be one."""
    status, code = _verdict(error)
    said = error if isinstance(error, VaguemestreError) else _TROUBLE
    if isinstance(error, StorageFailure | KeyFailure):  # what failed is the administrator's business
        _log.error("a command failed", error=error.en)
        said = _TROUBLE
    condition = responses.bad if status == "BAD" else responses.no
    return condition(tag, words(said), code)


def outcome(error: Exception) -> str:
    """That response's status and the name of its code, without any words: `NO NONEXISTENT`."""
    status, code = _verdict(error)
    return f"{status} {code.partition(b' ')[0].decode('ascii')}".rstrip()


def _verdict(error: Exception) -> tuple[str, bytes]:
    if not isinstance(error, VaguemestreError):
        return "NO", b"SERVERBUG"
    if isinstance(error, AnswerError):
        return error.status, error.code
    if isinstance(error, StorageFailure | KeyFailure):
        return "NO", b"UNAVAILABLE"
    return "NO", next((code for kind, code in _CODES if isinstance(error, kind)), b"")


def words(error: VaguemestreError) -> str:
    """Both languages on one line of ASCII: French loses its accents there, and stays readable."""
    text = " ".join((error.en if error.fr == error.en else f"{error.fr} / {error.en}").split())
    for written, plain in (("’", "'"), ("«\u202f", '"'), ("« ", '"'), (" »", '"'), ("“", '"'), ("”", '"'), ("œ", "oe")):
        text = text.replace(written, plain)
    return unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
