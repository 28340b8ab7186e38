"""What strangers may take: a number of requests, and of places."""

from vaguemestre.servers.limits import Allowance, network


def test_an_allowance_is_spent_and_comes_back_with_time() -> None:
    now = [0.0]
    allowance = Allowance(3, 0.5, lambda: now[0])
    assert [allowance.spend("a") for _ in range(4)] == [True, True, True, False]
    assert allowance.spend("b")
    now[0] = 2.0
    assert [allowance.spend("a") for _ in range(2)] == [True, False]
    now[0] = 1000.0
    assert [allowance.spend("a") for _ in range(4)] == [True, True, True, False]


def test_what_is_remembered_is_bounded() -> None:
    allowance = Allowance(1, 0.0)
    for number in range(30_000):
        allowance.spend(str(number))
    assert len(allowance._left) <= 10_000


def test_one_subscriber_is_one_address_whatever_the_version() -> None:
    assert network("192.0.2.7") == "192.0.2.7"
    assert network("2001:db8:1:2:3:4:5:6") == network("2001:db8:1:2::1") == "2001:db8:1:2::/64"
    assert network("2001:db8:1:3::1") != network("2001:db8:1:2::1")
    assert network("::ffff:192.0.2.7") == "192.0.2.7"
    assert network("fe80::1%eth0") == "fe80::/64"
    assert network("") == ""
