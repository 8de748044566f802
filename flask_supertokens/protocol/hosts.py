"""Hosts as browsers see them: which ones are this machine, and which ones are one site.

* A host is what stands in a URL or a ``Host`` header: in any case, with or without a port, an IPv6 address in brackets or not,
  a name with or without the dot at its end.
* This machine is ``localhost``, a name below it (RFC 6761, section 6.3), and each loopback address. There, and nowhere else,
  most browsers take plain http for safe.
* ``localhost`` and each IP address are sites of their own; ports don't count (HTML standard, *obtain a site*).
* ``https://*.example.com`` is an origin's pattern: a name below ``example.com``, at any depth; not ``example.com`` itself.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable, Iterable

LOCALHOST = "localhost"
_ANY = "://*."
_LABELS = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)


def name_of(host: str) -> str:
    """Cut a host to its name or address, in lower case: no port, no brackets, no dot at the end."""
    name, colon, port = host.rpartition(":")
    has_port = colon and (port.isdigit() or not port) and (":" not in name or name.endswith("]"))
    name = (name if has_port else host).lower()
    return name[1:-1] if name.startswith("[") and name.endswith("]") else name.removesuffix(".")


def is_address(host: str) -> bool:
    """Tell whether this is an IP address, and not a name."""
    return _address(host) is not None


@functools.lru_cache(maxsize=64)
def is_local(host: str) -> bool:
    """Tell whether this is this machine, whatever a name server says."""
    name, address = name_of(host), _address(host)
    if address is not None:
        return address.is_loopback
    return name == LOCALHOST or name.endswith(f".{LOCALHOST}")


def has_site_of_its_own(host: str) -> bool:
    """Tell whether no list is needed to know the site: an address, this machine, a name without dots."""
    return is_address(host) or is_local(host) or "." not in name_of(host)


def site_of(host: str, registrable_domain: Callable[[str], str | None]) -> str:
    """Find what a browser takes for the site of a host, but for the scheme.

    :param registrable_domain: what the public suffix list says of a name; ``None``: the name is a suffix itself.
    """
    name = name_of(host)
    if not has_site_of_its_own(name):
        return registrable_domain(name) or name
    return name if is_address(name) else ".".join(name.split(".")[-2:])


def is_one_of(origin: str, patterns: Iterable[str]) -> bool:
    """Tell whether an origin, as browsers send it, is one of these or below one that begins with ``*.``."""
    return any(_is_below(origin, pattern) if _ANY in pattern else origin == pattern for pattern in patterns)


def sample_of(pattern: str) -> str:
    """Make an origin that a pattern means; without a star it is the pattern."""
    return pattern.replace(_ANY, "://any.", 1)


def _is_below(origin: str, pattern: str) -> bool:
    scheme, _, parent = pattern.partition("*")
    inner = origin.removeprefix(scheme).removesuffix(parent)
    return f"{scheme}{inner}{parent}" == origin and _LABELS.fullmatch(inner) is not None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name_of(host))
    except ValueError:
        return None
