"""From fault to reply: the one table of codes for what the machine refuses by itself.

RFC 5321 §4.2.3 and §4.3.2; RFC 3463 §3; RFC 3207 §4 (530 5.7.0); RFC 6531 §3.5 (553 5.6.7);
RFC 4954 §4 and §6 (signing in).
"""

from collections.abc import Mapping

from vaguemestre.protocols.smtp import faults
from vaguemestre.protocols.smtp.replies import Reply

_CODES: Mapping[type[faults.PeerError], tuple[int, str]] = {
    faults.UnknownCommandError: (500, "5.5.2"),
    faults.ArgumentError: (501, "5.5.4"),
    faults.ParameterError: (555, "5.5.4"),
    faults.ReversePathError: (501, "5.1.7"),
    faults.ForwardPathError: (501, "5.1.3"),
    faults.NonAsciiPathError: (553, "5.6.7"),
    faults.SequenceError: (503, "5.5.1"),
    faults.NoRecipientError: (554, "5.5.1"),
    faults.NotOfferedError: (502, "5.5.1"),
    faults.TlsRequiredError: (530, "5.7.0"),
    faults.TlsActiveError: (503, "5.5.1"),
    faults.TlsFirstError: (530, "5.7.0"),
    faults.EncryptionNeededError: (538, "5.7.11"),
    faults.SignInNeededError: (530, "5.7.0"),
    faults.SignedInError: (503, "5.5.1"),
    faults.MechanismError: (504, "5.5.4"),
    faults.SaslResponseError: (501, "5.5.2"),
    faults.SaslCancelledError: (501, "5.7.0"),
    faults.SaslLineError: (500, "5.5.6"),
    faults.TooManyRecipientsError: (452, "4.5.3"),
    faults.TooManyTransactionsError: (421, "4.7.0"),
    faults.TooManyBadCommandsError: (421, "4.7.0"),
    faults.CommandLineError: (500, "5.5.2"),
    faults.BareCommandLineEndError: (500, "5.5.2"),
    faults.PlaintextAfterStartTlsError: (554, "5.5.1"),
    faults.ChunkSizeError: (501, "5.5.4"),
    faults.BareLineEndError: (550, "5.6.0"),
    faults.NulError: (550, "5.6.0"),
    faults.LongLineError: (550, "5.6.0"),
    faults.MessageSizeError: (552, "5.3.4"),
}


def refusal(fact: faults.PeerError) -> Reply:
    """The reply that refuses for this fact, in words for people."""
    code, enhanced = _CODES[type(fact)]
    return Reply.explained(code, enhanced, fact.fr, fact.en)
