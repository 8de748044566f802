"""The cookies of an app: how they are called below its script root, and how a response plan is written to a response."""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Iterable

from flask import Response, current_app, request
from werkzeug.http import dump_cookie

from .protocol.hosts import is_local
from .protocol.navigation import plain_root
from .protocol.presented import ACCESS_NAME, REFRESH_NAME, CookieNames
from .protocol.response_plan import CookieRules, ResponsePlan, SetCookie, plan_cookies, plan_headers
from .settings.keys import Settings

logger: logging.Logger = logging.getLogger("flask_supertokens")

_DROPPED = (
    "Secure cookies were sent over plain http to %s; browsers drop them. Serve over https; if a proxy does, use"
    " werkzeug's ProxyFix; for a plain http host set SUPERTOKENS_COOKIE_SECURE to False."
)
_DROPPED_BY_SAFARI = (
    "Secure cookies were sent over plain http to %s, and to Safari, which drops them there; other browsers keep them on"
    " localhost. While developing use flask run --debug, or set SUPERTOKENS_COOKIE_SECURE to False, or serve over https."
)


class CookieWriter:
    """Names and writes the cookies of one app."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._names_below = functools.lru_cache(maxsize=8)(self._make_names)
        needs = settings.cookie_prefix.lower().startswith("__secure-")  # browsers take such names only so
        self._secure: bool | None = True if needs else settings.cookie_secure
        self._written: CookieRules | None = None
        self._warned: set[str] = set()

    def names(self, root_path: str) -> CookieNames:
        """Name the cookies of a request and their paths, which go under the script root. ``__Host-`` needs ``/``: there the
        name does.
        """
        return self._names_below(root_path, self.is_secure() if self._secure is None else self._secure)

    def _make_names(self, root_path: str, is_secure: bool) -> CookieNames:
        root, settings, prefix = plain_root(root_path), self._settings, self._settings.cookie_prefix
        has_root_path = settings.access_token_path == "/"  # noqa: S105 - a path
        if prefix == "auto":
            prefix = "__Secure-" if is_secure else ""
            if is_secure and has_root_path and settings.cookie_domain is None:
                # Apps below several roots of one host must not overwrite each other's.
                mark = f"{hashlib.sha256(root.encode()).hexdigest()[:8]}-" if root else ""
                access = f"__Host-{mark}{ACCESS_NAME}"
                return CookieNames(access, prefix + REFRESH_NAME, "/", root + settings.refresh_path)
        path = root or "/" if has_root_path else root + settings.access_token_path
        return CookieNames(prefix + ACCESS_NAME, prefix + REFRESH_NAME, path, root + settings.refresh_path)

    def is_secure(self) -> bool:
        """Say whether cookies are ``Secure``. Unless set, that is fixed when the first ones are written."""
        if self._secure is not None:
            return self._secure
        needs = self._settings.cookie_same_site == "none" or self._settings.cookie_partitioned
        return needs or not (current_app.debug or current_app.testing)

    def rules(self) -> CookieRules:
        """Give the attributes of all our cookies."""
        settings = self._settings
        return self._written or CookieRules(
            secure=self.is_secure(),
            same_site=settings.cookie_same_site,
            domain=settings.cookie_domain,
            older_domain=settings.older_cookie_domain,
            partitioned=settings.cookie_partitioned,
        )

    def write_plan(self, response: Response, plan: ResponsePlan, names: CookieNames, now: int) -> None:
        """Write a plan to a response: clear first, then set, each name once.

        :param now: ms.
        """
        rules = self._written = self._written or self.rules()
        self._secure = rules.secure
        for line in plan_cookies(plan, names, rules, now):
            add_cookie(response, line, rules)
        sets_cookies = plan.sets is not None and plan.sets.method == "cookie"
        if sets_cookies and rules.secure and not request.is_secure:
            self._warn_of_lost_cookies()
        headers = plan_headers(plan, expose_access_token=self._settings.expose_access_token)
        for name, value in headers.items():
            response.headers[name] = value
        _expose(response, headers)
        response.headers["Cache-Control"] = "no-store"
        response.vary.add("Cookie")
        if plan.clears_pages and plan.sets is None:
            response.headers.setdefault("Clear-Site-Data", '"cache"')

    def _warn_of_lost_cookies(self) -> None:
        """Secure cookies over plain http: most browsers keep them on this machine, Safari does nowhere. Each is told once."""
        text = _DROPPED
        if is_local(request.host):
            agent = request.headers.get("User-Agent", "")  # Chromium's kind names WebKit too
            if "AppleWebKit/" not in agent or "Chrome/" in agent or "Chromium/" in agent:
                return
            text = _DROPPED_BY_SAFARI
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text, request.host)


def add_cookie(response: Response, line: SetCookie, rules: CookieRules, *, httponly: bool = True) -> None:
    """Write one cookie of ours to a response."""
    text = dump_cookie(
        line.name,
        line.value,
        expires=None if line.expires is None else line.expires // 1000,
        max_age=line.max_age,
        path=line.path,
        domain=line.domain,
        secure=rules.secure,
        httponly=httponly,
        samesite=rules.same_site.capitalize(),
        max_size=0,
    )
    # Werkzeug knows the attribute from 3.1 on only.
    response.headers.add("Set-Cookie", f"{text}; Partitioned" if rules.partitioned else text)


def _expose(response: Response, headers: Iterable[str]) -> None:
    """Merge names into ``Access-Control-Expose-Headers``, each once."""
    names: dict[str, str] = {}
    for name in (*response.headers.get("Access-Control-Expose-Headers", "").split(","), *headers):
        if name.strip():
            names[name.strip().lower()] = name.strip()
    if names:
        response.headers["Access-Control-Expose-Headers"] = ", ".join(names.values())
