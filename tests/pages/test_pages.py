"""The pages: errors, templates and handlers of the app's own, policies, script roots, addresses."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest
from flask import render_template_string
from jinja2 import DictLoader

from flask_supertokens import (
    CrossSiteRequestError,
    GeneralError,
    InvalidClaimError,
    SuperTokensError,
    TokenTheftError,
    TryRefreshTokenError,
    blueprint,
    create_new_session,
    get_session,
    verify_session,
)

from ..support.apps import BrokenStore, a_session, add, an_app, clock_of, close_database, handles, signed_in, state_of
from ..support.docs import ROOT, blocks
from ..support.navigating import (
    FIREFOX_88,
    FORM,
    HOUR,
    PAGE,
    expired,
    files_of,
    form_of,
    login_link,
    navigate,
    submit,
    title,
)
from ..support.plans import Clock
from ..support.wire import THEFT, TRY_REFRESH, UNAUTHORISED, call, cleared_methods, sets_no_tokens

SCRIPTS: list[tuple[str, dict[str, str]]] = [
    ("GET", {"Sec-Fetch-Mode": "cors", **FIREFOX_88}),
    ("GET", {"Sec-Fetch-Mode": "same-origin"}),
    ("GET", {"Sec-Fetch-Mode": "no-cors", **FIREFOX_88}),
    ("GET", {**FIREFOX_88, "X-Requested-With": "XMLHttpRequest"}),
    ("GET", {**FIREFOX_88, "rid": "anti-csrf"}),
    ("GET", {**FIREFOX_88, "st-auth-mode": "cookie"}),
    ("GET", {"Accept": "application/json"}),
    ("GET", {"Accept": "application/json, text/html;q=0.9"}),
    ("GET", {"Accept": "application/json, text/plain, */*"}),
    ("GET", {"Accept": "*/*"}),
    ("GET", {}),
    ("HEAD", {"Accept": "*/*"}),
    ("POST", {"Accept": "*/*", "Content-Type": "application/json"}),
    ("POST", {"Sec-Fetch-Mode": "cors", "Content-Type": "application/x-www-form-urlencoded"}),
    ("POST", {"Accept": "*/*", "Content-Type": "application/x-www-form-urlencoded"}),
    ("PUT", {"Sec-Fetch-Mode": "cors", "Accept": "text/html"}),
    ("DELETE", {"Accept": "*/*"}),
]


@pytest.mark.parametrize(("method", "headers"), SCRIPTS)
def test_a_script_gets_the_fixed_body_and_no_page(method: str, headers: dict[str, str]) -> None:
    """It never gets HTML, a redirect or a cookie: the fixed body only."""
    app = an_app(login_url="/login")
    for access, body in ((expired(app).access_token, TRY_REFRESH), (None, UNAUTHORISED)):
        response = call(app, method, "/me", access=access, headers=headers)
        assert (response.status_code, response.mimetype) == (401, "application/json")
        assert method == "HEAD" or response.json == body
        assert sets_no_tokens(response)


@pytest.mark.parametrize("path", ["/refresh", "/signout"])
@pytest.mark.parametrize("headers", [headers for method, headers in SCRIPTS if method == "GET"])
def test_our_routes_give_a_script_json(path: str, headers: dict[str, str]) -> None:
    """JSON as ever."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, "POST", path, access=tokens.access_token, refresh=tokens.refresh_token, headers=headers)
    assert (response.status_code, response.json) == (200, {} if path == "/refresh" else {"status": "OK"})


@pytest.mark.parametrize("by", [PAGE, FIREFOX_88, {"Accept": "text/html"}])
def test_a_browser_that_navigates_gets_a_page(by: dict[str, str]) -> None:
    """A page; browsers of before Fetch Metadata are known by what they accept."""
    app = an_app()
    tokens = expired(app)
    assert title(navigate(app, "/me", by=by, access=tokens.access_token)) == "One moment"
    assert title(navigate(app, "/me", by=by)) == "Please log in"


def test_a_head_request_gets_the_status_of_the_page() -> None:
    """The status of the page, and nothing else."""
    app = an_app()
    response = navigate(app, "/me", "HEAD", access=expired(app).access_token)
    assert (response.status_code, response.mimetype, response.data) == (401, "text/html", b"")


STALE = [{"id": "st-auth-time", "reason": {}}]


@pytest.mark.parametrize(
    ("error", "status", "heading", "link"),
    [
        (TokenTheftError(user_id="u", session_handle="h"), 401, "You have been logged out", True),
        (InvalidClaimError(errors=[{"id": "role"}]), 403, "Not allowed", True),
        (InvalidClaimError(errors=STALE), 403, "Please log in again", True),
        (GeneralError("secret"), 503, "Please try again in a moment", False),
        (GeneralError("secret", retry=False), 500, "Refused", False),
        (CrossSiteRequestError("secret"), 403, "Refused", False),
    ],
)
def test_each_error_has_a_page_with_its_status_and_none_of_its_secrets(
    error: SuperTokensError, status: int, heading: str, link: bool
) -> None:
    """With the error's status, what it clears, a way to the log-in where that helps, and none of its secrets."""
    app = an_app(login_url="/login")

    def view() -> None:
        raise error

    response = navigate(add(app, view), "/view?a=b")
    assert (response.status_code, title(response)) == (status, heading)
    assert cleared_methods(response) == ({"cookie", "header"} if error.clears else set())
    assert login_link(response) == ("/login?next=/view%3Fa%3Db" if link else None)
    assert "secret" not in response.text
    assert ('<html lang="en">' in response.text, "viewport" in response.text) == (True, True)


def test_a_theft_found_by_a_hop_is_told_and_the_sign_in_leads_back() -> None:
    """The page says so, the session is over, and the log-in leads back to where the browser was."""
    app = an_app(login_url="/login")
    tokens = expired(app)
    for _ in range(2):
        response = submit(app, "/refresh?next=/me", refresh=tokens.refresh_token)
        clock_of(app).wait(HOUR)
        fresh = next((line for line in response.headers.getlist("Set-Cookie") if line.startswith("sRefreshToken")), "")
        if response.status_code == 303:
            submit(app, "/refresh", refresh=fresh.partition("=")[2].partition(";")[0])
            clock_of(app).wait(HOUR)
    assert (response.status_code, title(response)) == (401, "You have been logged out")
    assert (cleared_methods(response), login_link(response)) == ({"cookie", "header"}, "/login?next=/me")
    assert handles(app) == []
    assert call(app, "POST", "/refresh", refresh=tokens.refresh_token).json in (UNAUTHORISED, THEFT)


@pytest.mark.parametrize(
    ("method", "path", "retry"),
    [
        ("GET", "/checked?a=b", "/checked?a=b"),
        ("POST", "/checked", None),
        ("POST", "/refresh?next=/me%3Fa", "/me?a"),
        ("POST", "/refresh?next=//evil.example", "/"),
        ("POST", "/refresh?next=/me&replay=1", None),
        ("POST", "/signout", None),
    ],
)
def test_a_store_that_is_down_is_503_and_leaves_all_cookies(method: str, path: str, retry: str | None) -> None:
    """503, when to come back, how to try again, and all cookies as they were; a form is sent again by a reload."""
    store = BrokenStore()
    app = an_app(store)
    app.add_url_rule("/checked", "checked", verify_session(check_database=True)(lambda: "x"), methods=["GET", "POST"])
    tokens = signed_in(app)
    store.down = True
    response = navigate(
        app,
        path,
        method,
        by=FORM,
        access=tokens.access_token,
        refresh=tokens.refresh_token,
        data={} if method == "POST" else None,
    )
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert (title(response), "Set-Cookie" in response.headers) == ("Please try again in a moment", False)
    link = re.findall(r'href="(.*?)">Try again', response.text)
    assert link == ([] if retry is None else [retry])
    assert ("reload this page" in response.text) is (retry is None)


def test_a_template_of_the_apps_own_wins() -> None:
    """A template of the same name wins: one page, or the frame of all."""
    app = an_app()
    app.jinja_loader = DictLoader(  # type: ignore[misc]
        {
            "supertokens/base.html": "<title>mine</title>{% if current_session %}!{% endif %}{% block content %}{% endblock %}",
            "supertokens/unauthorised.html": "log in, please",
        }
    )
    assert navigate(app, "/me").text == "log in, please"
    response = navigate(app, "/me", access=expired(app).access_token)
    assert response.text.startswith("<title>mine</title>\n<p>Your session")
    assert response.status_code == 401


@pytest.mark.parametrize("handled", [TryRefreshTokenError, SuperTokensError])
def test_a_handler_of_the_apps_own_wins_for_browsers_too(handled: type[SuperTokensError]) -> None:
    """It wins for browsers too."""
    app = an_app()
    app.register_error_handler(handled, lambda error: ("mine", 418))
    assert navigate(app, "/me", access=expired(app).access_token).text == "mine"


def test_a_guard_of_the_whole_app_lets_the_hop_and_its_files_through() -> None:
    """The hop's route and the files of its page stay reachable, expired token or not."""
    app = an_app()
    app.before_request(verify_session(lambda: None))
    tokens = expired(app)
    response = navigate(app, "/maybe", access=tokens.access_token)
    assert len(files_of(app, response, access=tokens.access_token)) == 2
    assert submit(app, form_of(response)[0], tokens, refresh=tokens.refresh_token).status_code == 303


def test_a_guard_lets_our_view_through_and_no_view_of_the_apps() -> None:
    """The refresh route is reachable where the app serves our view; a view of the app's at such a path is guarded."""
    app = an_app(register_routes=False)
    app.add_url_rule("/refresh", view_func=blueprint.refresh, methods=["POST"])
    add(app, lambda: "never reached", "/signout")
    app.before_request(verify_session(lambda: None))
    tokens = expired(app)
    assert submit(app, "/refresh?next=/me", tokens, refresh=tokens.refresh_token).headers["Location"] == "/me"
    assert submit(app, "/signout").status_code == 401


POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none';"
    " frame-ancestors 'self'"
)


@pytest.mark.parametrize("is_hop", [True, False])
def test_our_pages_are_sent_with_a_strict_policy(is_hop: bool) -> None:
    """A strict policy, no frames of others, no sniffing. The hop's form may lead elsewhere in the end."""
    app = an_app()
    headers = navigate(app, "/me", access=expired(app).access_token if is_hop else None).headers
    assert headers["Content-Security-Policy"] == POLICY + ("" if is_hop else "; form-action 'self'")
    assert (headers["X-Frame-Options"], headers["X-Content-Type-Options"]) == ("SAMEORIGIN", "nosniff")


def test_a_policy_of_the_apps_own_stays() -> None:
    """What it says in ``after_request`` stays."""
    app = an_app()
    app.after_request(lambda response: response.headers.update({"Content-Security-Policy": "mine"}) or response)
    assert navigate(app, "/me").headers.getlist("Content-Security-Policy") == ["mine"]


def test_only_the_page_of_the_hop_has_a_script() -> None:
    """One has a script, the page of the hop. It reloads, which would repeat a refused POST as our own: it comes of no POST."""
    pages = ROOT / "flask_supertokens" / "pages"
    with_script = [page.name for page in pages.glob("*/*.html") if "<script" in page.read_text("utf-8")]
    assert with_script == ["refresh.html"]
    assert [path.name for path in (pages / "assets").glob("*.js") if "reload()" in path.read_text("utf-8")] == [
        "refresh.js"
    ]
    app = an_app()
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        assert "refresh.js" not in navigate(app, "/me", method, by=FORM, access=expired(app).access_token).text


def test_an_unknown_sign_in_page_is_a_page_without_a_link_and_a_line_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A page without a link, not a failure; the log says what to fix."""
    response = navigate(an_app(login_url="no_such_endpoint"), "/me")
    assert (response.status_code, title(response), login_link(response)) == (401, "Please log in", None)
    assert "SUPERTOKENS_LOGIN_URL: the app has no endpoint 'no_such_endpoint'" in caplog.text


def test_the_base_path_moves_the_hop_and_its_files() -> None:
    """``SUPERTOKENS_API_BASE_PATH`` moves the hop and its files."""
    app = an_app(api_base_path="/auth")
    response = navigate(app, "/me", access=expired(app).access_token)
    assert form_of(response)[0] == "/auth/session/refresh?next=/me"
    assert re.findall(r'(?:src|href)="(.*?)"', response.text) == [
        "/auth/supertokens-assets/pages.css",
        "/auth/supertokens-assets/refresh.js",
    ]


def test_routes_that_the_app_registers_itself_serve_the_hop_without_files() -> None:
    """The functions behind our routes serve at paths of the app's; the page has its button, and no files."""
    app = an_app(register_routes=False)
    app.add_url_rule("/refresh", view_func=blueprint.refresh, methods=["POST"])
    app.add_url_rule("/signout", view_func=blueprint.sign_out, methods=["POST"])
    tokens = expired(app)
    response = navigate(app, "/me", access=tokens.access_token)
    assert "<button" in response.text
    assert re.findall("(?:src|href)=", response.text) == []
    response = submit(app, form_of(response)[0], tokens, refresh=tokens.refresh_token)
    assert (response.status_code, response.headers["Location"]) == (303, "/me")
    assert submit(app, "/signout?next=/bye").headers["Location"] == "/bye"


def test_pages_have_the_status_for_old_clients() -> None:
    """Pages have it as well."""
    app = an_app(session_expired_status_code=440)
    assert navigate(app, "/me", access=expired(app).access_token).status_code == 440


def test_a_sign_in_form_reads_next_safely_by_asked_target() -> None:
    """It reads ``next`` safely by a function of ours."""
    from flask_supertokens.browser import asked_target

    app = an_app()

    def view() -> str:
        create_new_session("user-1")
        return render_template_string("{{ target }}", target=asked_target())

    add(app, view)
    for target, text in (("/me%3Fa", "/me?a"), ("//evil.example", "None"), ("", "None")):
        assert submit(app, f"/view?next={target}").text == html.escape(text)


def test_a_token_that_lives_shorter_than_the_mark_makes_a_hop_of_its_own() -> None:
    """Tokens that live shorter than the mark: the next hop counts as one of its own."""
    app = an_app(access_token_lifetime=4, refresh_race_window=1)
    tokens = signed_in(app)
    client = app.test_client()
    client.set_cookie("sAccessToken", tokens.access_token)
    client.set_cookie("sRefreshToken", str(tokens.refresh_token), path="/refresh")
    for _ in range(3):
        clock_of(app).wait(4001)
        client.delete_cookie("sRefreshHop")  # two seconds have passed
        action, _ = form_of(client.get("/me", headers=PAGE))
        assert re.search(r"Hop=/refresh:\w{16};.* Max-Age=[12];", str(client.post(action, headers=FORM).headers))
        assert client.get("/me", headers=PAGE).status_code == 200


def test_the_app_of_the_docs_leads_to_the_sign_in_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Led to the log-in, back, a letter with an expired token, out."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "a_page_of_the_docs"}
    exec("\n".join(blocks((ROOT / "docs" / "server-rendered.md").read_text("utf-8"))), names)
    client = names["app"].test_client()
    client.environ_base |= {
        "wsgi.url_scheme": "https",
        "HTTP_SEC_FETCH_MODE": "navigate",
        "HTTP_SEC_FETCH_SITE": "same-origin",
    }
    clock = state_of(names["app"]).engine.clock = Clock()  # type: ignore[attr-defined]
    response = client.get("/letter", follow_redirects=True)
    assert (response.request.full_path, 'action=""' in response.text) == ("/login?next=/letter", True)
    login = {"name": "ada", "password": "correct horse"}
    assert "ada writes:" in client.post("/login?next=/letter", data=login, follow_redirects=True).text
    clock.wait(HOUR + 1000)
    url = "/letter"
    for status in (307, 307, 200):
        response = client.post(url, data={"text": "abc"})
        assert response.status_code == status
        url = response.headers.get("Location", "")
    assert response.text == "ada wrote 3 letters."
    assert client.post("/signout?next=/goodbye", follow_redirects=True).text == "You are logged out."
    assert client.get("/letter").status_code == 303
    close_database(names["app"])


def test_a_hop_of_one_browser_means_nothing_for_another() -> None:
    """A hop of one browser means nothing for another one."""
    app = an_app()
    session = a_session(app)
    clock_of(app).wait(HOUR + 1000)
    for _ in range(2):
        form_of(navigate(app, "/me", access=session.access_token))
    assert state_of(app).settings.login_url is None


def test_a_page_of_ours_is_rendered_though_the_app_s_templates_ask_for_the_session() -> None:
    """Flask-Login's context processor does: asking again inside of the answer to an error was another error."""
    app = an_app()
    app.context_processor(lambda: {"session": get_session(session_required=False)})
    app.add_url_rule("/page", view_func=verify_session(lambda: "in"))
    clock_now = app.extensions["supertokens"].engine.clock
    token = signed_in(app).access_token
    app.extensions["supertokens"].engine.clock = lambda: clock_now() + 7_200_000
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin", "Cookie": f"sAccessToken={token}"}
    response = app.test_client(use_cookies=False).get("/page", headers=headers)
    assert (response.status_code, "<form" in response.text) == (401, True)
