"""Where only a responder can settle it, it is asked once for all who wait, and left alone when it settles nothing."""

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from vaguemestre.trust import judge as judging
from vaguemestre.trust import revocation
from vaguemestre.trust.judge import Judge
from vaguemestre.trust.publisher import SIGNER_CN, Authority, Credential
from vaguemestre.trust.trusted_set import TrustedSet

DOMAIN = "a.mssante.fr"


class Responder:
    """Stands for the network: answers when its gate opens, and counts who asked."""

    def __init__(self, answer: Callable[[], bytes | None], credential: Credential, issuer: Any) -> None:
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.answer = answer
        self._about = credential.certificate, issuer

    async def ask(self, trusted: TrustedSet, chain: Any, at: datetime, *_: object) -> None:
        self.asked += 1
        await self.gate.wait()
        data = self.answer()
        if data is not None:
            trusted.add_ocsp(data, *self._about, at)


@pytest.fixture
def fresh(authority: Authority, signed: bytes, at: datetime) -> Callable[[], TrustedSet]:
    """Makes sets in force that lack the CRL of operators' certificates."""

    def make() -> TrustedSet:
        found = TrustedSet(authority.authorities, SIGNER_CN)
        found.load(signed, at)
        found.add_crl(authority.crls[0], at)
        return found

    return make


@pytest.fixture
def responder(authority: Authority, operator_a: Credential, at: datetime, monkeypatch: pytest.MonkeyPatch) -> Responder:
    """Says of operator A's certificate what its authority says."""
    issuer = authority.issuing.certificate
    question = revocation.ocsp_request(operator_a.certificate, issuer)
    found = Responder(lambda: authority.ocsp_response(question, at), operator_a, issuer)
    monkeypatch.setattr(judging.updater, "learn_revocation", found.ask)
    return found


@pytest.fixture
def judge(fresh: Callable[[], TrustedSet], at: datetime) -> Judge:
    """A judge that knows of no revocation yet."""
    return Judge(fresh(), now=lambda: at)


def test_who_comes_while_the_responder_is_asked_waits_for_the_same_answer(
    judge: Judge, responder: Responder, operator_a: Credential
) -> None:
    chain = [operator_a.der]

    async def come() -> list[str]:
        responder.gate.clear()
        waiting = []
        for _ in range(3):
            assert judge.may_learn(judge.decide(chain, DOMAIN), chain)
            waiting.append(asyncio.create_task(judge.learn(chain, DOMAIN)))
            await asyncio.sleep(0)
        waiting.pop(0).cancel()  # one that hangs up takes the answer from nobody
        await asyncio.sleep(0)
        responder.gate.set()
        return [decided.rule for decided in await asyncio.gather(*waiting)]

    assert asyncio.run(come()) == ["allowed", "allowed"]
    assert responder.asked == 1


def test_a_responder_that_settles_nothing_is_left_alone_for_a_while(
    judge: Judge, responder: Responder, operator_a: Credential, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = [operator_a.der]
    for answer in (lambda: None, lambda: b"lies"):
        responder.answer = answer
        judge._in_vain.clear()
        assert judge.may_learn(judge.decide(chain, DOMAIN), chain)
        try:
            assert asyncio.run(judge.learn(chain, DOMAIN)).rule == "revocation-unknown"
        except revocation.RevocationListError:
            assert answer() is not None
        assert not judge.may_learn(judge.decide(chain, DOMAIN), chain)
    soon = judging.time.monotonic() + judging._ASK_AGAIN_S
    monkeypatch.setattr(judging.time, "monotonic", lambda: soon + 1)
    assert judge.may_learn(judge.decide(chain, DOMAIN), chain)


def test_what_a_replaced_set_knew_is_asked_again_at_once(
    judge: Judge, responder: Responder, operator_a: Credential, fresh: Callable[[], TrustedSet]
) -> None:
    chain = [operator_a.der]
    assert asyncio.run(judge.learn(chain, DOMAIN)).allowed
    judge.trusted = fresh()
    assert judge.may_learn(judge.decide(chain, DOMAIN), chain)

    async def replaced_meanwhile() -> str:
        responder.gate.clear()
        before, learning = responder.asked, asyncio.create_task(judge.learn(chain, DOMAIN))
        while responder.asked == before:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0)
        judge.trusted = fresh()
        responder.gate.set()
        return (await learning).rule

    assert asyncio.run(replaced_meanwhile()) == "revocation-unknown"
    assert judge.may_learn(judge.decide(chain, DOMAIN), chain)
    assert asyncio.run(judge.learn(chain, DOMAIN)).allowed
