"""From error to result: the one table of what the directory answers by LDAP when it cannot do what was asked.

RFC 4511 Appendix A.2.
"""

from collections.abc import Mapping

from vaguemestre.errors import StorageFailure, VaguemestreError
from vaguemestre.protocols.ldap.encoding import DecodingError
from vaguemestre.protocols.ldap.names import DnSyntaxError
from vaguemestre.protocols.ldap.results import Result, ResultCode
from vaguemestre.servers.ldap.matching import TooManyPartsError
from vaguemestre.servers.ldap.tree import NoSuchEntryError, NotReadyError


class RefusedError(VaguemestreError):
    """A request that this server refuses, with the code that says it best."""

    def __init__(self, code: ResultCode, en: str, fr: str) -> None:
        super().__init__(en, fr)
        self.code = code


_CODES: Mapping[type[VaguemestreError], ResultCode] = {
    DecodingError: ResultCode.PROTOCOL_ERROR,
    DnSyntaxError: ResultCode.INVALID_DN_SYNTAX,
    TooManyPartsError: ResultCode.ADMIN_LIMIT_EXCEEDED,
    NoSuchEntryError: ResultCode.NO_SUCH_OBJECT,
    NotReadyError: ResultCode.BUSY,
    StorageFailure: ResultCode.UNAVAILABLE,
}


def refusal(error: Exception) -> Result:
    """The result that tells an error; what only administrators may read stays with us."""
    if isinstance(error, StorageFailure) or not isinstance(error, VaguemestreError):
        code = ResultCode.UNAVAILABLE if isinstance(error, StorageFailure) else ResultCode.OTHER
        return Result(code, "Incident de notre côté ; réessayez plus tard. / Trouble on our side; try again later.")
    matched = error.matched if isinstance(error, NoSuchEntryError) else ""
    code = error.code if isinstance(error, RefusedError) else _CODES.get(type(error), ResultCode.OTHER)
    return Result(code, sentence(error), matched)


def sentence(error: VaguemestreError) -> str:
    """Its words, in French then in English."""
    return f"{error.fr} / {error.en}"
