"""From fault to result code: the one table for what the machine refuses by itself (RFC 4511 Appendix A)."""

from collections.abc import Mapping

from vaguemestre.errors import VaguemestreError
from vaguemestre.protocols.ldap import faults
from vaguemestre.protocols.ldap.results import Result, ResultCode

_CODES: Mapping[type[VaguemestreError], ResultCode] = {
    faults.PrivacyError: ResultCode.CONFIDENTIALITY_REQUIRED,
    faults.TlsActiveError: ResultCode.OPERATIONS_ERROR,
    faults.OutstandingError: ResultCode.OPERATIONS_ERROR,
    faults.CriticalControlError: ResultCode.UNAVAILABLE_CRITICAL_EXTENSION,
}


def refusal(fact: VaguemestreError) -> Result:
    """The result that refuses for this fact: what has no code of its own breaks the protocol."""
    return Result(_CODES.get(type(fact), ResultCode.PROTOCOL_ERROR), f"{fact.fr} / {fact.en}")
