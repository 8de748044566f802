"""Hosts: which ones are this machine, which ones are addresses, which ones are one site."""

from __future__ import annotations

import pytest

from flask_supertokens.protocol.hosts import is_address, is_local, is_one_of, name_of, sample_of, site_of

NAME, ADDRESS, HERE, THERE = False, True, True, False
HOSTS = [
    ("localhost", "localhost", NAME, HERE),
    ("LOCALHOST", "localhost", NAME, HERE),
    ("localhost.", "localhost", NAME, HERE),
    ("x.localhost", "x.localhost", NAME, HERE),
    ("127.0.0.1", "127.0.0.1", ADDRESS, HERE),
    ("127.1.2.3", "127.1.2.3", ADDRESS, HERE),
    ("[::1]", "::1", ADDRESS, HERE),
    ("0.0.0.0", "0.0.0.0", ADDRESS, THERE),
    ("10.0.0.1", "10.0.0.1", ADDRESS, THERE),
    ("[2001:DB8::1]", "2001:db8::1", ADDRESS, THERE),
    ("example.com", "example.com", NAME, THERE),
    ("localhost.example.com", "localhost.example.com", NAME, THERE),
    ("mylocalhost", "mylocalhost", NAME, THERE),
    ("127.0.0.1.example.com", "127.0.0.1.example.com", NAME, THERE),
    ("", "", NAME, THERE),
]


@pytest.mark.parametrize("port", ["", ":80", ":5000", ":"])
@pytest.mark.parametrize(("host", "name", "address", "local"), HOSTS)
def test_name_address_and_this_machine_are_told_alike_with_and_without_a_port(
    host: str, port: str, name: str, address: bool, local: bool
) -> None:
    """Name, address and this machine are told alike with and without a port."""
    assert (name_of(host + port), is_address(host + port), is_local(host + port)) == (name, address, local)


@pytest.mark.parametrize(("host", "local"), [("::1", True), ("2001:db8::1", False), ("::", False)])
def test_an_ipv6_address_without_brackets_is_not_cut_at_its_last_colon(host: str, local: bool) -> None:
    """An IPv6 address as settings and sockets spell it is not cut at its last colon."""
    assert (name_of(host), is_address(host), is_local(host)) == (host, True, local)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("localhost:3000", "localhost:5000", True),
        ("localhost", "LOCALHOST.", True),
        ("localhost", "127.0.0.1", False),
        ("localhost", "[::1]", False),
        ("127.0.0.1", "[::1]", False),
        ("127.0.0.1", "127.0.0.2", False),
        ("10.0.0.1:80", "10.0.0.1:8080", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("localhost", "a.localhost", False),
        ("a.localhost", "b.localhost", False),
        ("x.a.localhost", "a.localhost", True),
        ("shop.example.com", "api.example.com", True),
        ("example.com", "example.org", False),
        ("com", "com", True),
        ("com", "example.com", False),
        ("db", "web", False),
    ],
)
def test_two_hosts_are_one_site_where_their_registrable_domain_is_the_same(one: str, other: str, same: bool) -> None:
    """The registrable domain decides; localhost and each address stand for themselves."""
    assert (site_of(one, two_labels) == site_of(other, two_labels)) is same


PATTERNS = ("https://*.example.com", "http://*.localhost:3000", "https://exact.org", "capacitor://localhost")


@pytest.mark.parametrize(
    ("origin", "is_in"),
    [
        ("https://a.example.com", True),
        ("https://a-1.b_2.example.com", True),
        ("https://xn--bcher-kva.example.com", True),
        ("https://example.com", False),
        ("https://.example.com", False),
        ("https://a..example.com", False),
        ("http://a.example.com", False),
        ("https://a.example.com:8443", False),
        ("https://a.example.com.evil.com", False),
        ("https://evil.com/.example.com", False),
        ("https://evil.com#.example.com", False),
        ("https://u@a.example.com", False),
        ("https://evilexample.com", False),
        ("https://*.example.com", False),
        ("https://a.example.com\n", False),
        ("http://shop.localhost:3000", True),
        ("http://shop.localhost", False),
        ("https://exact.org", True),
        ("https://a.exact.org", False),
        ("capacitor://localhost", True),
        ("capacitor://a.localhost", False),
        ("null", False),
        ("", False),
    ],
)
def test_a_star_allows_origins_at_any_depth_on_the_same_scheme_and_port(origin: str, is_in: bool) -> None:
    """Below a star at any depth, on the same scheme and port; else letter by letter."""
    assert is_one_of(origin, PATTERNS) is is_in


@pytest.mark.parametrize("pattern", PATTERNS)
def test_the_sample_of_a_pattern_is_an_origin_that_it_means(pattern: str) -> None:
    """An origin that it means."""
    assert is_one_of(sample_of(pattern), [pattern])


def two_labels(name: str) -> str | None:
    """A public suffix list that knows suffixes of one label only."""
    return ".".join(name.split(".")[-2:]) if "." in name else None
