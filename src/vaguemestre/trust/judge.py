"""One operator's judge: the decision of `admission`, with an OCSP question where only that can settle it.

Kept true: mail in and mail out ask the same judge. An answer that no CRL gives is asked of the responder once: who needs
it meanwhile waits for the same one. A responder whose answer settles nothing is left alone for a while: a peer cannot make
us ask in a circle.
"""

import asyncio
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from vaguemestre import clock
from vaguemestre.trust import admission, updater
from vaguemestre.trust.admission import Admission, Identified
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
    _in_vain: dict[bytes, float] = field(default_factory=dict)  # when a leaf was asked about and nothing was learnt
    _asking: "dict[bytes, asyncio.Task[None]]" = field(default_factory=dict)

    def decide(self, chain: Sequence[bytes], domain: str | None) -> Admission:
        """`admission.decide`, now."""
        return admission.decide(self.trusted, chain, domain, self.now())

    def domains(self, chain: Sequence[bytes]) -> frozenset[str]:
        """`admission.domains`, now."""
        return admission.domains(self.trusted, chain, self.now())

    def domain_listed(self, domain: str) -> Admission:
        """`admission.domain_listed`, now."""
        return admission.domain_listed(self.trusted, domain, self.now())

    def may_learn(self, decided: Admission, chain: Sequence[bytes]) -> bool:
        """Whether an OCSP answer could turn this no into a yes, and it is time to ask."""
        asked = self._in_vain.get(chain[0]) if chain else None
        due = asked is None or time.monotonic() - asked > _ASK_AGAIN_S
        return self.ocsp and decided.rule == "revocation-unknown" and due

    async def learn(self, chain: Sequence[bytes], domain: str | None) -> Admission:
        """Ask the responders, or wait where they are being asked, then decide again."""
        await self._learn(chain)
        return self.decide(chain, domain)

    def known(self, chain: Sequence[bytes]) -> Identified:
        """`admission.identify`, now, by what is known already."""
        return admission.identify(self.trusted, chain, self.now())

    async def identify(self, chain: Sequence[bytes]) -> Identified:
        """`known`, once the responders were asked where only they can tell."""
        found = self.known(chain)
        if self.may_learn(found.admission, chain):
            await self._learn(chain)
            found = self.known(chain)
        return found

    async def _learn(self, chain: Sequence[bytes]) -> None:
        leaf = chain[0]
        if leaf not in self._asking:
            self._asking[leaf] = asyncio.create_task(self._ask(chain))
            self._asking[leaf].add_done_callback(lambda _: self._asking.pop(leaf))
        await asyncio.shield(self._asking[leaf])  # one that leaves takes the answer from no other

    async def _ask(self, chain: Sequence[bytes]) -> None:
        trusted = self.trusted
        try:
            await updater.learn_revocation(trusted, chain, self.now(), self.responder, self.tls)
        finally:
            unknown = self.decide(chain, None).rule == "revocation-unknown"
            if unknown and self.trusted is trusted:  # else the answer came for a set that was replaced: ask again
                if len(self._in_vain) >= _MOST_ASKED:
                    self._in_vain.clear()
                self._in_vain[chain[0]] = time.monotonic()
