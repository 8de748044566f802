"""What is wrong although each value is right: settings of no use, and settings that contradict each other.

Each function yields a sentence a mistake: what is wrong, then what to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from ..protocol import hosts
from . import values
from .defaults import Draft
from .keys import KEYS, Settings, UsedBy
from .sites import site_of

_API_KEY = "SUPERTOKENS_API_KEY"


def find_unused(draft: Draft) -> Iterator[str]:
    """Find settings that are set and that nothing would use: each engine has some that are for it alone."""

    def given(*used_by: UsedBy) -> str:
        return ", ".join(name for name, entry in KEYS.items() if entry.used_by in used_by and draft.is_given(name))

    unused = given(UsedBy.DATABASE, UsedBy.BUILT, UsedBy.EMBEDDED) if not draft.needs_secret else ""
    if draft.needs_secret and not draft.needs_database:
        unused = ", ".join(filter(draft.is_given, ("SUPERTOKENS_DATABASE_URI", "SUPERTOKENS_CONNECTION_URI")))
    if unused:
        yield f"{unused}: not used with what was passed to SuperTokens(…). Remove one of them."
    if not draft.dynamic_signing_key and draft.is_given("SUPERTOKENS_SIGNING_KEY_LIFETIME"):
        yield (
            "SUPERTOKENS_SIGNING_KEY_LIFETIME: a static signing key (SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY) is never replaced."
            " Remove one of the two."
        )
    for_client, for_server, for_embedded = given(UsedBy.CLIENT), given(UsedBy.SERVER), given(UsedBy.EMBEDDED)
    if draft.is_embedded and for_client:
        other = " Keys that a core of yours accepts are SUPERTOKENS_CORE_API_KEYS." if draft.is_given(_API_KEY) else ""
        yield (
            f"{for_client}: only for an app whose sessions are on a core. Set SUPERTOKENS_CONNECTION_URI to its address, or"
            f" remove them.{other}"
        )
    if not draft.is_embedded and for_server:
        yield (
            f"{for_server}: only for an app that is a core itself, but the sessions of this one are on the core that"
            f" SUPERTOKENS_CONNECTION_URI names. Remove one of the two. The key to send to that core is {_API_KEY}."
        )
    if not draft.is_embedded and for_embedded:
        yield f"{for_embedded}: with SUPERTOKENS_CONNECTION_URI the core decides that. Remove them here, configure the core."


def find_contradictions(settings: Settings) -> Iterator[str]:
    """Find what is wrong only in combination."""
    if settings.session_expired_status == settings.invalid_claim_status:
        yield (
            "SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE and SUPERTOKENS_INVALID_CLAIM_STATUS_CODE must differ:"
            " the web client tells them apart by status. Change one of them."
        )
    if settings.access_token_lifetime >= settings.refresh_token_lifetime:
        yield (
            "SUPERTOKENS_REFRESH_TOKEN_LIFETIME must be longer than SUPERTOKENS_ACCESS_TOKEN_LIFETIME, or no session lasts"
            " beyond its first access token."
        )
    yield from _find_cookie_mistakes(settings)
    yield from _find_route_mistakes(settings)


def _find_cookie_mistakes(settings: Settings) -> Iterator[str]:
    if settings.token_transfer_method != "header":  # noqa: S105 - a method
        yield from _find_lost_cookies(settings)
    older, domain, prefix = settings.older_cookie_domain, settings.cookie_domain, settings.cookie_prefix.lower()
    if older is not None and (older.lstrip(".") or None) == (domain.lstrip(".") if domain else None):
        yield (
            "SUPERTOKENS_OLDER_COOKIE_DOMAIN is the cookie domain of today: good cookies would be cleared. Remove it, or set it"
            " to the domain that the cookies had before."
        )
    if prefix.startswith("__host-"):
        yield 'SUPERTOKENS_COOKIE_PREFIX can\'t be "__Host-": the refresh cookie has a path. "auto" does what is possible.'
    if prefix.startswith("__secure-") and settings.cookie_secure is False:
        yield 'SUPERTOKENS_COOKIE_PREFIX "__Secure-" needs SUPERTOKENS_COOKIE_SECURE to be True.'
    if settings.cookie_partitioned and settings.cookie_secure is False:
        yield (
            "SUPERTOKENS_COOKIE_PARTITIONED: browsers take such cookies only where they are Secure. Serve the API over https, or"
            " set SUPERTOKENS_COOKIE_SECURE to True."
        )


def _find_lost_cookies(settings: Settings) -> Iterator[str]:
    """Find log-ins that succeed and whose cookies no browser keeps: one mistake, the first."""
    api, is_none = settings.api_domain, settings.cookie_same_site == "none"
    for website in settings.website_domains:
        parts = urlsplit(hosts.sample_of(website))
        pair = (urlsplit(api or "").hostname or "", parts.hostname or "")
        if api is None or parts.scheme in values.APP_SCHEMES or not all(map(hosts.has_site_of_its_own, pair)):
            continue
        is_lost = all(map(hosts.is_local, pair)) or not is_none or settings.cookie_secure is False
        if is_lost and site_of(pair[0]) != site_of(pair[1]):
            yield (
                f"SUPERTOKENS_API_DOMAIN is {api} and SUPERTOKENS_WEBSITE_DOMAIN {website}: to browsers localhost and each IP"
                " address are sites of their own, so the page would not keep the API's cookies. Use one name, localhost for"
                " example, in both, and in the page's calls; ports may differ."
            )
            return
    if is_none and settings.cookie_secure is False:
        yield (
            "SUPERTOKENS_COOKIE_SAME_SITE is none, but cookies are not secure: browsers refuse such cookies. Serve the API"
            " over https, or set SUPERTOKENS_COOKIE_SECURE to True."
        )


def _find_route_mistakes(settings: Settings) -> Iterator[str]:
    if settings.refresh_path == settings.signout_path:
        yield "SUPERTOKENS_REFRESH_PATH and SUPERTOKENS_SIGNOUT_PATH must differ. Change one of them."
    if len(settings.register_routes) == len(values.ROUTES):
        return  # all that there are: none of them was named
    needs = {
        "health": ("SUPERTOKENS_HEALTH_PATH", settings.health_path),
        "discovery": ("SUPERTOKENS_API_DOMAIN", settings.api_domain),
    }
    for name, (key, value) in needs.items():
        if name in settings.register_routes and value is None:
            yield f"SUPERTOKENS_REGISTER_ROUTES: the route {name!r} needs {key}. Set it, or take the name out."
