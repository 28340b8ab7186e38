"""Routing: which servers take mail for a domain, in which order, and when to give up or try again."""

import asyncio
import itertools
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.resolver
import dns.rrset
import pytest

from vaguemestre.transport.routing import Host, Router, RoutingFailure, UnroutableError


class Resolver(dns.asyncresolver.Resolver):
    """Answers from a table, through dnspython's own reading of questions and answers."""

    def __init__(self, records: dict[str, list[str]] | None = None, error: Exception | None = None) -> None:
        super().__init__(configure=False)
        self.nameservers = ["127.0.0.1"]
        self.records = records or {}
        self.error = error
        self.asked: list[str] = []

    async def resolve(self, qname: Any, rdtype: Any = "A", *arguments: Any, **options: Any) -> Any:
        if self.error is not None:
            raise self.error
        name = dns.name.from_text(qname)  # raises, as the real one does, on names that cannot be asked for
        self.asked.append(f"{name} {rdtype}")
        query = dns.message.make_query(name, rdtype)
        response = dns.message.make_response(query)
        texts = self.records.get(qname)
        if texts is None:
            raise dns.resolver.NXDOMAIN(qnames=[name], responses={name: response})
        if not texts:
            raise dns.resolver.NoAnswer(response=query)
        response.answer.append(dns.rrset.from_text(name, 300, "IN", "MX", *texts))
        received = dns.message.from_wire(response.to_wire())
        assert isinstance(received, dns.message.QueryMessage)
        return dns.resolver.Answer(name, dns.rdatatype.MX, dns.rdataclass.IN, received)


def hosts(domain: str, resolver: Resolver | None = None, **router: Any) -> list[Host]:
    made = Router(router.get("local", frozenset()), router.get("routes", {}), resolver)
    return asyncio.run(made.hosts(domain))


def names(domain: str, *records: str) -> list[str]:
    return [host.name for host in hosts(domain, Resolver({domain: list(records)}))]


def test_the_best_preference_comes_first() -> None:
    assert names("b.fr", "20 mx2.b.fr.", "5 mx0.b.fr.", "10 mx1.b.fr.") == ["mx0.b.fr", "mx1.b.fr", "mx2.b.fr"]


def test_the_port_is_that_of_smtp() -> None:
    assert hosts("b.fr", Resolver({"b.fr": ["10 mx.b.fr."]})) == [Host("mx.b.fr", 25)]


def test_equal_preferences_share_the_load() -> None:
    seen = {tuple(names("b.fr", "10 a.b.fr.", "10 b.b.fr.", "10 c.b.fr.", "1 first.b.fr.")) for _ in range(300)}
    assert seen == {("first.b.fr", *rest) for rest in itertools.permutations(["a.b.fr", "b.b.fr", "c.b.fr"])}


def test_server_names_are_in_lower_case_without_the_final_dot() -> None:
    assert names("b.fr", "10 MX.B.Fr.") == ["mx.b.fr"]


def test_a_domain_without_mx_is_its_own_server() -> None:
    assert names("b.fr") == ["b.fr"]


def test_a_null_mx_takes_no_mail() -> None:
    with pytest.raises(UnroutableError, match=r"b\.fr takes no mail"):
        names("b.fr", "0 .")


def test_a_null_mx_among_others_is_not_tried() -> None:
    assert names("b.fr", "0 .", "10 mx.b.fr.") == ["mx.b.fr"]


def test_a_domain_that_does_not_exist_takes_no_mail() -> None:
    with pytest.raises(UnroutableError) as refused:
        hosts("nowhere.fr", Resolver())
    assert "annuaire" in refused.value.fr


@pytest.mark.parametrize("domain", ["a..b", "." * 3, "x" * 64 + ".fr", ".".join(["x" * 60] * 5), "-\udc80.fr"])
def test_a_name_that_cannot_exist_takes_no_mail(domain: str) -> None:
    with pytest.raises(UnroutableError):
        hosts(domain, Resolver())


@pytest.mark.parametrize(
    "error",
    [
        dns.exception.Timeout(),
        dns.resolver.LifetimeTimeout(timeout=20, errors=[]),
        dns.resolver.NoNameservers(request=dns.message.make_query("b.fr", "MX"), errors=[]),
        dns.resolver.NoResolverConfiguration(),
        dns.resolver.YXDOMAIN(),
        OSError(101, "Network is unreachable"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_resolver_that_does_not_answer_may_answer_later(error: Exception) -> None:
    with pytest.raises(RoutingFailure, match="cannot be looked up for now"):
        hosts("b.fr", Resolver(error=error))


def test_a_configured_route_wins_and_asks_nobody() -> None:
    resolver = Resolver({"b.fr": ["10 mx.b.fr."]})
    assert hosts("b.fr", resolver, routes={"b.fr": Host("127.0.0.1", 2525)}) == [Host("127.0.0.1", 2525)]
    assert resolver.asked == []


def test_only_the_domain_itself_is_asked_for() -> None:
    resolver = Resolver({"b.fr": ["10 mx.b.fr."]})
    hosts("b.fr", resolver)
    assert resolver.asked == ["b.fr. MX"]


def test_domains_of_the_operator_are_local_whatever_their_case() -> None:
    router = Router(frozenset({"A.mssante.fr", "b.mssante.fr"}), {})
    assert all(router.is_local(domain) for domain in ("a.mssante.fr", "A.MSSANTE.FR", "b.mssante.fr"))
    assert not any(router.is_local(domain) for domain in ("mssante.fr", "x.a.mssante.fr", "a.mssante.fr.", ""))


def test_routes_hold_whatever_the_case() -> None:
    route = Host("127.0.0.1", 2525)
    assert hosts("b.fr", Resolver(), routes={"B.fr": route}) == [route]
    assert hosts("B.FR", Resolver(), routes={"b.fr": route}) == [route]
