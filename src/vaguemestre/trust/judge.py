"""One operator's judge: the decision of `admission`, with an OCSP question where only that can settle it.

Kept true: mail in and mail out ask the same judge. An answer that no CRL gives is asked of the responder once, and a
responder that does not answer is left alone for a while: a peer cannot make us ask in a circle.
"""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vaguemestre import clock
from vaguemestre.trust import admission, updater
from vaguemestre.trust.admission import Admission
from vaguemestre.trust.trusted_set import TrustedSet

_ASK_AGAIN_S = 30.0
_MOST_ASKED = 1000


@dataclass(slots=True)
class Judge:
    """`trusted` may be replaced by a newer set at any time.

    `ocsp`: whether to ask responders at all; `responder` replaces the address in the certificates.
    """

    trusted: TrustedSet
    ocsp: bool = True
    responder: str | None = None
    tls: ssl.SSLContext | None = None
    now: clock.Clock = clock.now
    _asked: dict[bytes, float] = field(default_factory=dict)

    def decide(self, chain: Sequence[bytes], domain: str | None) -> Admission:
        """`admission.decide`, now."""
        return admission.decide(self.trusted, chain, domain, self.now())

    def domain_listed(self, domain: str) -> Admission:
        """`admission.domain_listed`, now."""
        return admission.domain_listed(self.trusted, domain, self.now())

    def may_learn(self, decided: Admission, chain: Sequence[bytes]) -> bool:
        """Whether an OCSP answer could turn this no into a yes, and it is time to ask."""
        asked = self._asked.get(chain[0], 0.0) if chain else 0.0
        due = not asked or time.monotonic() - asked > _ASK_AGAIN_S
        return self.ocsp and decided.rule == "revocation-unknown" and due

    async def learn(self, chain: Sequence[bytes], domain: str | None) -> Admission:
        """Ask the responders, then decide again."""
        if len(self._asked) >= _MOST_ASKED:
            self._asked.clear()
        self._asked[chain[0]] = time.monotonic()
        await updater.learn_revocation(self.trusted, chain, self.now(), self.responder, self.tls)
        return self.decide(chain, domain)
