"""What follows from other settings: defaults, and fields of the table that have no key of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

from ..protocol.model import AntiCsrfMode
from .sites import is_cross_site
from .values import APP_SCHEMES

SameSite = Literal["lax", "none", "strict"]

SAMPLE_KEY = "make one: python -c 'import secrets; print(secrets.token_hex())'"
SAMPLE_KEYS: frozenset[str] = frozenset({SAMPLE_KEY, "the old one", "the new one", "of the tests", "…"})
"""What the docs show as ``SECRET_KEY``."""
_MAKE_A_KEY = "Make one with python -c 'import secrets; print(secrets.token_hex())' and keep it out of the code"


class MistakeError(ValueError):
    """A mistake whose sentence names its keys. Reading goes on with ``instead``, to find the other mistakes."""

    def __init__(self, sentence: str, instead: object) -> None:
        super().__init__(sentence)
        self.instead = instead


class Draft:
    """Settings while they are read: ``app.config``, what the app brought itself, and the fields so far as attributes."""

    def __init__(self, config: Mapping[str, Any], *, needs_database: bool, needs_secret: bool) -> None:
        self.config = config
        self.needs_database: bool = needs_database
        self.needs_secret: bool = needs_secret
        self.is_embedded: bool = config.get("SUPERTOKENS_CONNECTION_URI") is None
        self.uses_database: bool = needs_database and self.is_embedded
        self.fields: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def is_given(self, key: str) -> bool:
        """Whether a key is set."""
        return self.config.get(key) is not None


def path_below_base(path: str, without_base: str | None = None) -> Callable[[Draft], str]:
    """A path below the base path, or ``without_base`` where there is no base path."""

    def default(draft: Draft) -> str:
        return without_base if draft.base_path is None and without_base else f"{draft.base_path or ''}{path}"

    return default


def secret_keys(draft: Draft) -> tuple[str | bytes, ...]:
    """Read Flask's secret keys, the current one last. Without the embedded engine there are none.

    :raises MistakeError: they are missing, wrong, or samples of the docs.
    """
    if not (draft.needs_secret and draft.is_embedded):
        return ()
    secret, fallbacks = draft.config.get("SECRET_KEY"), draft.config.get("SECRET_KEY_FALLBACKS") or ()
    if not secret:
        raise MistakeError(f"SECRET_KEY is missing: it signs refresh tokens and seals signing keys. {_MAKE_A_KEY}.", ())
    keys = (*fallbacks, secret) if isinstance(fallbacks, list | tuple) else (secret, fallbacks)
    if not isinstance(fallbacks, list | tuple) or not all(key and isinstance(key, str | bytes) for key in keys):
        raise MistakeError(
            "SECRET_KEY or SECRET_KEY_FALLBACKS is of a wrong type, or has an empty key. Use a string or bytes for SECRET_KEY,"
            " and a list of these for SECRET_KEY_FALLBACKS.",
            (),
        )
    texts = {key.decode(errors="replace") if isinstance(key, bytes) else key for key in keys}
    # Flask sets DEBUG by FLASK_DEBUG, which flask run --debug sets, before this is read.
    if texts & SAMPLE_KEYS and not (draft.config.get("DEBUG") or draft.config.get("TESTING")):
        raise MistakeError(
            "SECRET_KEY, or one of SECRET_KEY_FALLBACKS, is a sample of the docs, which everybody knows."
            f" {_MAKE_A_KEY}; or, while you try things on your own machine: flask run --debug.",
            (),
        )
    return cast("tuple[str | bytes, ...]", keys)


def has_default_database(draft: Draft) -> bool:
    """Whether sessions are in a database that nobody named."""
    return draft.uses_database and not draft.is_given("SUPERTOKENS_DATABASE_URI")


def cookie_secure(draft: Draft) -> bool | None:
    """``False`` where the API is plain http, else decided by the request."""
    return False if (draft.api_domain or "").startswith("http:") else None


def cookie_same_site(draft: Draft) -> SameSite:
    """``none`` where a website is on another site than the API, else ``lax``.

    :raises MistakeError: nobody knows whether it is.
    """
    if draft.website_judges:
        raise MistakeError(
            "SUPERTOKENS_WEBSITE_DOMAIN has a function, and nobody knows beforehand what it allows: set"
            ' SUPERTOKENS_COOKIE_SAME_SITE to "none" (other sites too) or "lax" (hosts of the API\'s own site only).',
            "lax",
        )
    if any(origin.startswith(APP_SCHEMES) for origin in draft.website_domains):
        return "none"
    if draft.api_domain is None:
        return "lax"
    try:
        return "none" if any(is_cross_site(draft.api_domain, website) for website in draft.website_domains) else "lax"
    except ImportError:
        raise MistakeError(
            "SUPERTOKENS_API_DOMAIN and SUPERTOKENS_WEBSITE_DOMAIN have different hosts; whether they are one site needs the"
            ' public suffix list: pip install "flask-supertokens[publicsuffixlist]", or set SUPERTOKENS_COOKIE_SAME_SITE to'
            ' "none" (two sites) or "lax" (one site).',
            "lax",
        ) from None


def anti_csrf(draft: Draft) -> AntiCsrfMode:
    """A header that other sites' pages can't send, where cookies go to other sites."""
    return "VIA_CUSTOM_HEADER" if draft.cookie_same_site == "none" else "NONE"


def issuer(draft: Draft) -> str | None:
    """The address of the API, if it is known."""
    return None if draft.api_domain is None else f"{draft.api_domain}{draft.base_path or ''}"
