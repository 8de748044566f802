"""Pages of attackers in a real browser, on another site and on a host beside the app's: what they try, and what comes of it.

Each attack is seen by the server, and has no effect. Each is tried without the check, too, and works then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from flask import Flask, send_file
from playwright.sync_api import Browser, BrowserContext, Page
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from flask_supertokens import create_new_session_without_request
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.protocol import requests
from flask_supertokens.protocol.model import SessionRecord, SessionTokens
from flask_supertokens.stores.memory import MemoryStore
from tests.support.apps import close_database
from tests.support.attackers import (
    APP,
    ATTACKS,
    EMPTY_PAGE,
    OTHER_SITE,
    SIBLING,
    Hosts,
    Seen,
    attacker,
    cookies,
    post,
    served_everywhere,
    strike,
    victim_app,
)
from tests.support.browser import WEB_CLIENT, across_sites
from tests.support.docs import ROOT, blocks, with_settings

pytestmark = pytest.mark.browser

SENDERS = (SIBLING, OTHER_SITE)
TARGETS = ("/act", "/signout", "/refresh")
MODES = [
    ("lax", "NONE"),
    ("lax", "VIA_TOKEN"),
    ("strict", "NONE"),
    ("none", "VIA_CUSTOM_HEADER"),
    ("none", "VIA_TOKEN"),
    ("none", "NONE"),
]
EACH_MODE = pytest.mark.parametrize(("same_site", "anti_csrf"), MODES, ids=map("-".join, MODES))


class Victim:
    """A user with a browser, logged in to an app; and what an attack could change."""

    def __init__(self, hosts: Hosts, context: BrowserContext, app: Flask, origin: str = APP) -> None:
        self.hosts, self.context, self.app, self.origin = hosts, context, app, origin
        hosts.apps[origin] = app
        self.page = context.new_page()
        self.page.goto(origin)

    def log_in(self, name: str = "ada") -> None:
        assert post(self.page, "/login", name=name) == 200

    def user(self) -> str | None:
        """Whom the app takes this browser for."""
        found: str | None = self.page.evaluate("fetch('/me').then(got => got.json()).then(got => got.user)")
        return found

    def users(self) -> list[str]:
        """Whose sessions there are."""
        return sorted(record.user_id for record in self._records().values())

    def state(self) -> object:
        """All that an attack could change: sessions in the store, cookies in the browser, what the app did."""
        return self._records(), cookies(self.context), list(self.app.config["ACTS"])

    def struck(self, page: Page, sender: str, attack: str, path: str) -> Seen:
        """The request that an attack made."""
        self.hosts.seen.clear()
        strike(page, sender, attack, self.origin + path)
        (seen,) = [seen for seen in self.hosts.seen if seen.path == path]
        return seen

    def tokens_of(self, name: str) -> SessionTokens:
        """Tokens that somebody got for himself."""
        with self.app.app_context():
            return create_new_session_without_request(name).tokens

    def _records(self) -> dict[str, SessionRecord]:
        return dict(self.app.extensions["supertokens"].engine.store._sessions)


NewVictim = Callable[..., Victim]


@pytest.fixture(scope="module")
def hosts() -> Hosts:
    return Hosts()


@pytest.fixture(scope="module")
def one_browser(browser: Browser, hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    """A browser that keeps cookies of other sites, and finds all of them on one server."""
    with served_everywhere(hosts, tmp_path_factory.mktemp("hosts")) as rules:
        context = across_sites(browser.browser_type, tmp_path_factory.mktemp("profile"), rules)
        context.set_default_timeout(10_000)
        yield context
        context.close()


@pytest.fixture
def context(one_browser: BrowserContext, hosts: Hosts) -> Iterator[BrowserContext]:
    """The victim's browser, which knows nothing yet."""
    yield one_browser
    for page in one_browser.pages[1:]:
        page.wait_for_load_state()  # a page that is closed on its way elsewhere may never say so
        page.close()
    one_browser.clear_cookies()
    hosts.apps.clear()


@pytest.fixture
def a_victim(hosts: Hosts, context: BrowserContext) -> NewVictim:
    """Makes an app with these settings, and a user of it."""

    def a_victim(origin: str = APP, **settings: Any) -> Victim:
        app = victim_app(MemoryStore(), **{"cookie_same_site": "lax", **settings})
        return Victim(hosts, context, app, origin)

    return a_victim


@pytest.fixture
def unguarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check of where a request comes from is off."""
    monkeypatch.setattr(requests, "is_foreign", lambda *_: False)


# -- requests that a page can make unasked -----------------------------------------------------------------------------


@EACH_MODE
def test_a_foreign_page_s_post_changes_nothing(
    a_victim: NewVictim, context: BrowserContext, same_site: str, anti_csrf: str
) -> None:
    """403 where the cookies come along, and for every refresh; else nobody is logged in. Nothing changes."""
    victim, page = a_victim(cookie_same_site=same_site, anti_csrf=anti_csrf), context.new_page()
    victim.log_in()
    before = victim.state()
    for sender, attack, path in [(s, a, p) for s in SENDERS for a in ATTACKS for p in TARGETS]:
        seen = victim.struck(page, sender, attack, path)
        refused = (403,) if seen.tokens or path == "/refresh" else (401, 303)
        assert (sender, attack, path, seen.site in ("same-site", "cross-site")) == (sender, attack, path, True)
        assert (sender, attack, path, seen.status in refused) == (sender, attack, path, True)
        assert (sender, attack, path, victim.state()) == (sender, attack, path, before)
        assert bool(seen.tokens) == brings_cookies(sender, attack, same_site)


def brings_cookies(sender: str, attack: str, same_site: str) -> bool:
    """Whether a browser sends cookies along: SameSite does not hold back what a sibling host sends."""
    is_same_site = sender == SIBLING and attack != "form of nobody"
    return attack != "fetch without cookies" and (is_same_site or same_site == "none")


@pytest.mark.parametrize("attack", sorted(ATTACKS.keys() - {"fetch without cookies"}))
@pytest.mark.usefixtures("unguarded")
def test_a_foreign_page_s_post_does_what_the_attacker_wants_if_nothing_guards(
    a_victim: NewVictim, context: BrowserContext, attack: str
) -> None:
    """Without the check each of these does what the attacker wants: the tests above can fail."""
    victim, page = a_victim(cookie_same_site="none", anti_csrf="NONE"), context.new_page()
    for sender in SENDERS:
        victim.log_in()
        before = cookies(context)
        assert (victim.struck(page, sender, attack, "/act").status, victim.app.config["ACTS"].pop()) == (200, "ada")
        assert victim.struck(page, sender, attack, "/refresh").status in (200, 303)
        assert cookies(context).keys() == before.keys()
        assert all(cookies(context)[name] != value for name, value in before.items())
        assert victim.struck(page, sender, attack, "/signout").status in (200, 303)
        assert (cookies(context), victim.users()) == ({}, [])


@pytest.mark.usefixtures("unguarded")
def test_an_unguarded_foreign_refresh_without_cookies_would_sign_the_user_out(
    a_victim: NewVictim, context: BrowserContext
) -> None:
    """SameSite holds the cookies back, and the answer would clear them: why a foreign refresh is refused without cookies."""
    victim = a_victim()
    victim.log_in()
    seen = victim.struck(context.new_page(), OTHER_SITE, "form", "/refresh")
    assert (seen.tokens, cookies(context)) == (frozenset(), {})


@pytest.mark.parametrize("by", ["the user", "a script"])
def test_a_reload_of_the_page_that_refuses_is_as_foreign_as_before(
    a_victim: NewVictim, context: BrowserContext, by: str
) -> None:
    """By the user it is as foreign as before; by a script on it, which ours has not, it is a request of our own."""
    victim, page = a_victim(), context.new_page()
    victim.log_in()
    assert victim.struck(page, SIBLING, "form", "/act").status == 403
    assert page.locator("script").count() == 0
    with page.expect_navigation():
        page.reload() if by == "the user" else page.evaluate("setTimeout(() => location.reload())")
    seen = victim.hosts.seen[-1]
    assert (seen.path, seen.site, seen.status) == (
        "/act",
        *(("same-site", 403) if by == "the user" else ("same-origin", 200)),
    )
    assert victim.app.config["ACTS"] == ([] if by == "the user" else ["ada"])


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_foreign_page_s_post_without_tls_is_known_by_its_origin(
    a_victim: NewVictim, context: BrowserContext, attack: str
) -> None:
    """No browser sends Fetch Metadata to plain http; ``Origin`` tells as much."""
    app, page = "http://app.example.com", context.new_page()
    victim = a_victim(app, cookie_secure=False)
    victim.log_in()
    before = victim.state()
    for sender, path in [(s.replace("https", "http"), p) for s in SENDERS for p in TARGETS]:
        seen = victim.struck(page, sender, attack, path)
        assert (seen.site, seen.status in ((403,) if seen.tokens or path == "/refresh" else (401, 303))) == (None, True)
        assert (sender, path, victim.state()) == (sender, path, before)


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("path", ["/signout", "/refresh"])
def test_a_foreign_page_s_get_changes_nothing(
    a_victim: NewVictim, context: BrowserContext, sender: str, path: str
) -> None:
    """A link and an image are 405: there is nothing that a GET does."""
    victim, page = a_victim(cookie_same_site="none"), context.new_page()
    victim.log_in()
    before = victim.state()
    page.goto(sender)
    page.evaluate("url => new Promise(done => { Object.assign(new Image(), { src: url, onerror: done }) })", APP + path)
    with context.expect_event("response", lambda got: got.request.is_navigation_request()) as link:
        page.evaluate("url => { location.href = url }", APP + path)
    page.wait_for_url(APP + path)
    assert (link.value.status, victim.state()) == (405, before)


# -- the header and the token that pages must send ---------------------------------------------------------------------

WITH_HEADERS = """url => fetch(url, { method: "POST", credentials: "include", headers: { rid: "anti-csrf", "anti-csrf": "x" } })
    .then(got => got.status, () => "blocked")"""


def with_headers(page: Page, sender: str) -> object:
    page.goto(sender)
    return page.evaluate(WITH_HEADERS, f"{APP}/act")


@pytest.mark.parametrize(("cors", "answer", "arrived"), [(None, "blocked", 0), ("*", 403, 1)], ids=["no CORS", "CORS"])
@pytest.mark.parametrize("sender", SENDERS)
def test_a_foreign_page_cannot_send_the_header(
    a_victim: NewVictim, context: BrowserContext, sender: str, cors: str | None, answer: object, arrived: int
) -> None:
    """The browser asks the app first, and never sends it. An app that allows every origin refuses it all the same."""
    victim, page = a_victim(cors=cors, cookie_same_site="none", anti_csrf="VIA_CUSTOM_HEADER"), context.new_page()
    victim.log_in()
    before, seen = victim.state(), len(victim.hosts.seen)
    assert (with_headers(page, sender), len(victim.hosts.seen) - seen, victim.state()) == (answer, arrived, before)


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize(("mode", "status"), [("NONE", 200), ("VIA_CUSTOM_HEADER", 200), ("VIA_TOKEN", 401)])
def test_a_foreign_page_s_header_proves_nothing_where_every_origin_is_allowed(
    a_victim: NewVictim, context: BrowserContext, mode: str, status: int
) -> None:
    """With every origin allowed the header proves nothing; a token still does."""
    victim = a_victim(cors="*", cookie_same_site="none", anti_csrf=mode)
    victim.log_in()
    assert with_headers(context.new_page(), OTHER_SITE) == status


@pytest.mark.usefixtures("unguarded")
@pytest.mark.parametrize("mode", ["VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize("sender", SENDERS)
def test_each_anti_csrf_mode_guards_by_itself_in_a_silent_browser(
    a_victim: NewVictim, context: BrowserContext, sender: str, mode: str
) -> None:
    """In a browser that says nothing of where a request comes from, each mode keeps a page from acting."""
    victim, page = a_victim(cookie_same_site="none", anti_csrf=mode), context.new_page()
    victim.log_in()
    before = victim.state()
    for attack in ("fetch", "beacon", "fetch that reads"):
        seen = victim.struck(page, sender, attack, "/act")
        assert (attack, bool(seen.tokens), seen.status, victim.state()) == (attack, True, 401, before)


# -- log-in CSRF -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sender", SENDERS)
def test_an_unguarded_sign_in_form_makes_its_visitor_somebody_else(
    a_victim: NewVictim, context: BrowserContext, sender: str
) -> None:
    """A log-in that takes a form from anywhere makes its victim somebody else: that form is the app's to guard."""
    victim = a_victim()
    victim.log_in()
    assert victim.struck(context.new_page(), sender, "form", "/login").status == 200
    assert victim.user() == "mallory"


@pytest.mark.parametrize("sender", SENDERS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_the_documented_sign_in_takes_forms_of_its_own_pages_only(
    hosts: Hosts, context: BrowserContext, tmp_path: Path, sender: str, attack: str
) -> None:
    """The log-in of docs/csrf.md takes forms of its own pages only: visitors stay who they are."""
    names: dict[str, object] = {"__name__": "csrf"}
    (code,) = blocks((ROOT / "docs" / "csrf.md").read_text("utf-8"))
    exec(with_settings(code, {"SUPERTOKENS_DATABASE_URI": f"sqlite:///{tmp_path / 'db'}"}), names)
    app = names["app"]
    assert isinstance(app, Flask)
    victim = Victim(hosts, context, app)
    victim.log_in()
    before = cookies(context)
    assert victim.struck(context.new_page(), sender, attack, "/login").status == 403
    assert (cookies(context), victim.page.evaluate("fetch('/me').then(got => got.text())")) == (before, "ada")
    close_database(app)


# -- cookies that a sibling host sets ----------------------------------------------------------------------------------


def toss(context: BrowserContext, name: str, value: str | None, path: str = "/") -> None:
    """A page of the sibling host sets a cookie for all hosts of the site."""
    line = f"{name}={value}; Domain=example.com; Path={path}; Secure"
    context.new_page().goto(f"{SIBLING}/?{urlencode({'cookie': line})}")


SPELLINGS = ["__Host-", "__host-", "=__Host-", "\x85__Host-", "\xa0__Host-", "\xc2\xa0__Host-"]


@pytest.mark.parametrize("prefix", SPELLINGS, ids=ascii)
def test_a_tossed_access_token_makes_nobody_somebody_else(
    a_victim: NewVictim, context: BrowserContext, prefix: str
) -> None:
    """However its name is spelled: a visitor stays nobody, and a user of the app keeps the own session."""
    victim = a_victim()
    toss(context, f"{prefix}sAccessToken", victim.tokens_of("mallory").access_token)
    assert victim.user() is None
    victim.log_in()
    assert (victim.user(), post(victim.page, "/act"), post(victim.page, "/refresh")) == ("ada", 200, 200)
    assert (victim.user(), victim.app.config["ACTS"]) == ("ada", ["ada"])


@pytest.mark.parametrize("prefix", ["__Secure-", "__Host-", "__Host-26315ce1-"])
def test_an_access_token_tossed_to_a_mounted_app_makes_nobody_somebody_else(
    a_victim: NewVictim, context: BrowserContext, prefix: str
) -> None:
    """Below a script root its name is one of ``__Host-`` all the same: a visitor stays nobody, a user stays who he is."""
    victim = a_victim()
    victim.hosts.apps[APP] = DispatcherMiddleware(attacker, {"/shop": victim.app})
    tossed = victim.tokens_of("mallory")
    toss(context, f"{prefix}sAccessToken", tossed.access_token, "/shop")
    toss(context, "__Secure-sRefreshToken", tossed.refresh_token, "/shop/refresh")
    who = "fetch('/shop/me').then(got => got.json()).then(got => got.user)"
    assert (post(victim.page, "/shop/refresh"), victim.page.evaluate(who)) == (401, None)
    assert post(victim.page, "/shop/login", name="ada") == 200
    assert (post(victim.page, "/shop/refresh"), victim.page.evaluate(who)) == (200, "ada")
    assert ("__Host-26315ce1-sAccessToken", "app.example.com", "/") in cookies(context)


def test_an_access_token_tossed_without_prefixes_makes_a_visitor_somebody_else(
    a_victim: NewVictim, context: BrowserContext
) -> None:
    """What the prefix is for: with plain names a visitor becomes whom the sibling wants."""
    victim = a_victim(cookie_prefix="")
    toss(context, "sAccessToken", victim.tokens_of("mallory").access_token)
    assert victim.user() == "mallory"


def test_a_refresh_token_tossed_to_a_visitor_makes_nobody_somebody(
    a_victim: NewVictim, context: BrowserContext
) -> None:
    """Nobody becomes somebody: the access cookie, which no sibling can set, is missing beside it."""
    victim = a_victim()
    toss(context, "__Secure-sRefreshToken", victim.tokens_of("mallory").refresh_token)
    assert (post(victim.page, "/refresh"), victim.user()) == (401, None)
    assert victim.hosts.seen[-1].tokens == {"__Secure-sRefreshToken"}


def test_a_refresh_token_tossed_without_prefixes_makes_a_visitor_somebody(
    a_victim: NewVictim, context: BrowserContext
) -> None:
    """Where the access cookie could be tossed as well there is nothing to miss."""
    victim = a_victim(cookie_prefix="")
    toss(context, "sRefreshToken", victim.tokens_of("mallory").refresh_token)
    assert (post(victim.page, "/refresh"), victim.user()) == (200, "mallory")


@pytest.mark.parametrize("path", ["/refresh", "/"])
def test_a_user_goes_on_refreshing_in_spite_of_a_tossed_refresh_token(
    a_victim: NewVictim, context: BrowserContext, path: str
) -> None:
    """The access cookie, which no sibling can set, tells which one is the user's own: he refreshes, again and again."""
    victim = a_victim()
    victim.log_in()
    toss(context, "__Secure-sRefreshToken", victim.tokens_of("mallory").refresh_token, path)
    for _ in range(3):
        assert (post(victim.page, "/refresh"), victim.user()) == (200, "ada")
    assert victim.users() == ["ada", "mallory"]


def test_a_user_cannot_refresh_with_a_token_tossed_without_prefixes_nor_be_changed(
    a_victim: NewVictim, context: BrowserContext
) -> None:
    """Which of the two is the right one nobody knows: no refresh, no change, and no session of somebody else."""
    victim = a_victim(cookie_prefix="")
    victim.log_in()
    toss(context, "sRefreshToken", victim.tokens_of("mallory").refresh_token)
    before = victim.state()
    assert (post(victim.page, "/refresh"), victim.state(), victim.user()) == (500, before, "ada")


@pytest.mark.parametrize("logged_in", [True, False])
def test_the_tossed_cookie_of_an_old_sdk_is_nothing_to_us(
    a_victim: NewVictim, context: BrowserContext, logged_in: bool
) -> None:
    """It is nothing to us: public pages stay open, a user stays a user."""
    victim = a_victim()
    if logged_in:
        victim.log_in()
    toss(context, "sIdRefreshToken", "x")
    before = victim.state()
    assert (victim.user(), victim.state()) == ("ada" if logged_in else None, before)


def test_a_tossed_cookie_is_cleared_and_the_user_refreshes(a_victim: NewVictim, context: BrowserContext) -> None:
    """With the site's domain as the older cookie domain the user refreshes, and gets rid of it."""
    victim = a_victim(older_cookie_domain="example.com")
    victim.log_in()
    toss(context, "__Secure-sRefreshToken", victim.tokens_of("mallory").refresh_token, "/refresh")
    assert (post(victim.page, "/refresh"), {domain for _, domain, _ in cookies(context)}) == (200, {"app.example.com"})
    assert (post(victim.page, "/refresh"), victim.user()) == (200, "ada")


def lose_refresh_cookie_and_get_another(victim: Victim) -> None:
    """As when a sibling host fills the browser's cookie jar until the oldest fall out."""
    victim.context.clear_cookies(name="__Secure-sRefreshToken")
    toss(victim.context, "__Secure-sRefreshToken", victim.tokens_of("mallory").refresh_token, "/refresh")


def test_tokens_of_two_sessions_mixed_sign_nobody_in_and_harm_neither(a_victim: NewVictim) -> None:
    """The access cookie names another session than the tossed token: nobody is logged in, and both sessions stay."""
    victim = a_victim()
    victim.log_in()
    lose_refresh_cookie_and_get_another(victim)
    assert (post(victim.page, "/refresh"), victim.user(), victim.users()) == (401, None, ["ada", "mallory"])


def test_tokens_of_two_sessions_mixed_make_a_user_somebody_else_if_nothing_guards(
    a_victim: NewVictim, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the comparison the user goes on as somebody else, and sees nothing of it."""
    monkeypatch.setattr(EmbeddedEngine, "is_genuine", lambda *_: False)
    victim = a_victim()
    victim.log_in()
    lose_refresh_cookie_and_get_another(victim)
    assert (post(victim.page, "/refresh"), victim.user()) == (200, "mallory")


# -- fixation ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_domain", [False, True], ids=["host-only", "domain"])
def test_tokens_from_before_a_sign_in_are_worth_nothing_after_it(
    a_victim: NewVictim, context: BrowserContext, with_domain: bool
) -> None:
    """Tokens that were there before the log-in are worth nothing after it, and what the user gets is new."""
    victim = a_victim(cookie_domain="example.com" if with_domain else None)
    known = victim.tokens_of("mallory")
    toss(context, "__Secure-sAccessToken", known.access_token)
    toss(context, "__Secure-sRefreshToken", known.refresh_token)
    victim.log_in()
    assert "__Secure-sRefreshToken" in victim.hosts.seen[-1].tokens
    assert (victim.user(), victim.users()) == ("ada", ["ada"])
    sent = {"Authorization": f"Bearer {known.refresh_token}"}
    assert victim.app.test_client().post("/refresh", headers=sent).status_code == 401


# -- the official client on another origin -----------------------------------------------------------------------------

CLIENT_PAGE = f"""{EMPTY_PAGE}<script src="/web-client.js"></script>
<script>supertokens.init({{ apiDomain: "{APP}", apiBasePath: "/auth" }})</script>"""
CALL = """([url, form]) => fetch(url, form && { method: "POST", body: new URLSearchParams(form) })
    .then(got => got.json()).then(got => got.user)"""
LIFETIME = 3


def website() -> Flask:
    """A page with the web client."""
    site = Flask("website")
    site.add_url_rule("/web-client.js", "client", lambda: send_file(WEB_CLIENT))
    site.add_url_rule("/", "page", lambda: CLIENT_PAGE)
    return site


@pytest.mark.parametrize(
    ("origin", "same_site"), [("https://www.example.org", "none"), ("https://www.example.com", "lax")]
)
def test_the_web_client_goes_on_whatever_attackers_try(
    a_victim: NewVictim, hosts: Hosts, context: BrowserContext, origin: str, same_site: str
) -> None:
    """A website that the settings name logs in, refreshes and signs out from its origin, whatever attackers try meanwhile."""
    lifetimes = {"access_token_lifetime": LIFETIME, "refresh_race_window": 1}
    base = {"api_base_path": "/auth", "api_domain": APP, "website_domain": origin}
    victim = a_victim(cors=origin, cookie_same_site=same_site, **base, **lifetimes)
    hosts.apps[origin] = website()
    page, foreign = context.new_page(), context.new_page()
    page.goto(origin)
    page.evaluate(CALL, [APP + "/login", {"name": "ada"}])
    before = victim.state()
    for sender, path in [(s, p) for s in SENDERS for p in ("/act", "/auth/signout", "/auth/session/refresh")]:
        victim.struck(foreign, sender, "fetch", path)
    assert victim.state() == before
    page.wait_for_timeout(LIFETIME * 1000)
    hosts.seen.clear()
    assert page.evaluate(CALL, [APP + "/me"]) == "ada"
    page.evaluate("supertokens.signOut()")
    assert [(seen.path, seen.status) for seen in hosts.seen] == [("/auth/session/refresh", 200), ("/auth/signout", 200)]
    assert (cookies(context), victim.users()) == ({}, [])
