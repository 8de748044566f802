"""The test kit's client as a browser: pages, forms and redirects, with the headers that browsers send."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import pytest
from flask import Flask, Response, redirect, request
from flask.typing import ResponseReturnValue
from werkzeug.test import ClientRedirectError, TestResponse

from flask_supertokens import create_new_session, current_session, verify_session
from flask_supertokens.browser import asked_target, is_own_form
from flask_supertokens.testing import SuperTokensClient

from ..support.apps import build_app


def an_app(**settings: Any) -> Flask:
    """An app of pages."""
    app = build_app(add_pages, TESTING=True, login_url="log_in", **settings)
    app.test_client_class = SuperTokensClient
    return app


def add_pages(app: Flask) -> None:
    @app.route("/log-in", methods=["GET", "POST"])
    def log_in() -> ResponseReturnValue:
        if request.method == "GET" or not is_own_form():
            return "<form method=post>…</form>"
        create_new_session(request.form["user"])
        return redirect(asked_target() or "/", 303)

    @app.route("/letters/<name>", methods=["GET", "POST"])
    @verify_session
    def letters(name: str) -> ResponseReturnValue:
        files = {key: sent.read().decode() for key, sent in request.files.items()}
        return {
            "user": current_session.user_id,
            "name": name,
            "typed": {**request.args, **request.form},
            "files": files,
        }

    @app.route("/seen", methods=["GET", "POST"])
    def seen() -> ResponseReturnValue:
        return {**request.headers, "method": request.method, "typed": request.form}

    app.add_url_rule("/to/<path:target>", "to", lambda target: redirect(target, request.args.get("code", 302, int)))
    app.add_url_rule("/again", "again", lambda: redirect("/again"), methods=["GET", "POST"])
    app.add_url_rule("/again-and-again", "often", lambda: Response(status=302, headers={"Location": "/again"}))
    app.add_url_rule("/keep", "keep", lambda: redirect("/seen", 307), methods=["POST"])
    app.add_url_rule("/leave", "leave", lambda: redirect("/seen", 302), methods=["POST"])


@pytest.fixture
def client() -> SuperTokensClient:
    return a_client(an_app())


def a_client(app: Flask) -> SuperTokensClient:
    client = app.test_client()
    assert isinstance(client, SuperTokensClient)
    return client


def path_of(response: TestResponse) -> str:
    return str(response.request.path)


def sent(response: TestResponse, *names: str) -> list[str | None]:
    """Headers as the app saw them."""
    return [response.json.get(name) for name in names]


SITE, MODE = "Sec-Fetch-Site", "Sec-Fetch-Mode"


def test_a_typed_address_has_no_referrer_and_no_origin(client: SuperTokensClient) -> None:
    """From nowhere: no referrer, no origin; and nothing that only scripts send."""
    response = client.navigate("/seen")
    assert sent(response, SITE, MODE, "Sec-Fetch-Dest") == ["none", "navigate", "document"]
    assert sent(response, "Referer", "Origin", "Rid", "Authorization") == [None] * 4
    assert response.json["Accept"].startswith("text/html,")
    assert client.get("/seen").json["Rid"] == "session"


def test_a_followed_link_has_the_page_that_is_shown_as_its_referrer(client: SuperTokensClient) -> None:
    """From the page that is shown."""
    client.navigate("/log-in?a=é")
    response = client.navigate("seen#top")
    assert sent(response, SITE, "Referer", "Origin") == ["same-origin", "http://localhost/log-in?a=%C3%A9", None]


def test_a_submitted_form_has_the_origin_of_its_page(client: SuperTokensClient) -> None:
    """With the origin of its page, which is a page at the same address if none is shown."""
    assert sent(client.submit("/seen"), SITE, "Origin", "Referer") == [
        "same-origin",
        "http://localhost",
        "http://localhost/seen",
    ]
    client.navigate("/log-in")
    response = client.submit("/seen", {"typed": "ä&b"})
    assert sent(response, "method", "typed", "Referer") == ["POST", {"typed": "ä&b"}, "http://localhost/log-in"]


def test_a_visitor_who_signs_in_is_led_to_the_form_and_back(client: SuperTokensClient) -> None:
    """To the form, and back to the page that was asked for."""
    asked = client.navigate("/letters/a?b=c")
    assert (asked.status_code, path_of(asked), len(asked.history)) == (200, "/log-in", 1)
    there = client.submit("", {"user": "ada"})
    assert there.json == {"user": "ada", "name": "a", "typed": {"b": "c"}, "files": {}}
    assert [response.status_code for response in there.history] == [303]


def test_a_form_of_another_site_does_not_sign_in(client: SuperTokensClient) -> None:
    """What `submit` sends is what the app goes by: without it there is no log-in."""
    client.post("/log-in", data={"user": "ada"}, headers={SITE: "cross-site", MODE: "navigate"})
    assert path_of(client.navigate("/letters/a")) == "/log-in"


@pytest.mark.parametrize("path", ["/letters/a?b=c", f"/letters/a?b={'c' * 4000}"])
def test_a_page_asked_for_with_an_expired_token_is_shown_after_the_hop(client: SuperTokensClient, path: str) -> None:
    """It is shown, after the hop, however long its address is."""
    client.login("ada")
    client.expire_access_token()
    shown = client.navigate(path)
    assert (shown.status_code, shown.request.full_path) == (200, path)
    assert [response.status_code for response in shown.history] == [401, 303]
    assert client.get("/letters/a").status_code == 200


def test_a_form_submitted_with_an_expired_token_loses_nothing(client: SuperTokensClient) -> None:
    """Nothing that was typed is lost, files included."""
    client.login("ada")
    client.navigate("/letters/a")
    client.expire_access_token()
    shown = client.submit("", {"typed": "text", "file": (BytesIO(b"content"), "name.txt")})
    assert shown.json == {"user": "ada", "name": "a", "typed": {"typed": "text"}, "files": {"file": "content"}}
    assert [response.status_code for response in shown.history] == [307, 307]


def test_a_session_that_is_over_leads_to_the_sign_in_page_and_back(client: SuperTokensClient) -> None:
    """The hop does not help, so the log-in page is shown, with the way back."""
    client.login("ada")
    client.expire_session()
    shown = client.navigate("/letters/a")
    assert (path_of(shown), [response.status_code for response in shown.history][:2]) == ("/log-in", [401, 303])
    assert client.submit("", {"user": "bob"}).json["user"] == "bob"


def test_a_307_sends_the_form_again_and_a_302_asks_for_a_page(client: SuperTokensClient) -> None:
    """307 sends the form again, 302 asks for a page, without an origin."""
    kept, left = client.submit("/keep", {"a": "b"}), client.submit("/leave", {"a": "b"})
    assert sent(kept, "method", "typed", "Origin") == ["POST", {"a": "b"}, "http://localhost"]
    assert sent(left, "method", "typed", "Origin") == ["GET", {}, None]


def test_a_redirect_that_leads_elsewhere_is_returned_and_not_followed(client: SuperTokensClient) -> None:
    """It is returned, so that a test can look at it; the app is not asked for pages of others."""
    response = client.navigate("/to/https://provider.example/authorize")
    assert (response.status_code, response.location) == (302, "https://provider.example/authorize")


def test_a_redirect_that_loops_is_an_error(client: SuperTokensClient) -> None:
    """A loop is an error, as in a browser."""
    with pytest.raises(ClientRedirectError, match="http://localhost/again"):
        client.navigate("/again")


def test_paths_of_an_app_below_a_path_are_below_it() -> None:
    """Paths are below it, as in Flask's client; redirects and the hop name it."""
    client = a_client(an_app(APPLICATION_ROOT="/shop", SERVER_NAME="app.test", PREFERRED_URL_SCHEME="https"))
    assert path_of(client.navigate("/letters/a")) == "/log-in"
    shown = client.submit("", {"user": "ada"})
    assert shown.request.url == "https://app.test/shop/letters/a"
    client.expire_access_token()
    assert client.navigate("/letters/b").json["name"] == "b"
    assert client.navigate("https://app.test/shop/letters/c").json["name"] == "c"


def test_cookies_for_a_browser_are_as_they_would_be_set_at_its_address(client: SuperTokensClient) -> None:
    """All of them, as they would be set at its address."""
    client.login("ada")
    access, refresh = client.browser_cookies("http://127.0.0.1:5000")
    assert (access["name"], access["domain"], access["path"]) == ("sAccessToken", "127.0.0.1", "/")
    assert (refresh["name"], refresh["path"]) == ("sRefreshToken", "/refresh")
    assert (access["httpOnly"], access["secure"], access["sameSite"]) == (True, False, "Lax")
    assert a_client(an_app()).browser_cookies("http://localhost") == []


def test_cookies_of_a_domain_keep_it_and_their_flags_for_a_browser() -> None:
    """They keep it, and their flags."""
    client = a_client(
        an_app(SERVER_NAME="app.example.com", SUPERTOKENS_COOKIE_DOMAIN="example.com", SUPERTOKENS_COOKIE_SECURE=True)
    )
    client.login("ada")
    assert {(cookie["domain"], cookie["secure"]) for cookie in client.browser_cookies("https://app.example.com")} == {
        (".example.com", True)
    }
