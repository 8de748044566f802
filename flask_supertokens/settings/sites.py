"""Which hosts are one site to browsers. The only gate to the public suffix list."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..protocol import hosts


def site_of(host: str | None) -> str:
    """Find what a browser takes for the site of a host, but for the scheme.

    :raises ImportError: the host is a name of the internet, and the public suffix list is not installed.
    """
    return hosts.site_of(host or "", _find_registrable_domain)


def is_cross_site(origin: str, pattern: str) -> bool:
    """Whether a website, or what its pattern means, is on another site than an origin.

    :raises ImportError: as `site_of`.
    """
    one, other = urlsplit(origin), urlsplit(hosts.sample_of(pattern))
    return one.scheme != other.scheme or (
        one.hostname != other.hostname and site_of(one.hostname) != site_of(other.hostname)
    )


def _find_registrable_domain(name: str) -> str | None:
    from publicsuffixlist import PublicSuffixList  # noqa: PLC0415 - an extra, and slow to load

    return PublicSuffixList().privatesuffix(name)
