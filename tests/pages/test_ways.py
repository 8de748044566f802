"""Where a browser is led: to the log-in and back, and never elsewhere."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from flask import Blueprint

from flask_supertokens import (
    verify_session,
)

from ..support.apps import an_app, signed_in
from ..support.navigating import (
    expired,
    form_of,
    login_link,
    navigate,
    submit,
    title,
)

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\r\nX: y",
    "http://user@evil.example",
    "javascript:alert(1)",
    "/" + "a" * 5000,
    "/\x00",
    "",
]


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("replay", ["", "&replay=1"])
def test_a_refresh_whose_next_points_elsewhere_leads_to_the_first_page(replay: str, place: str) -> None:
    """The browser goes to the first page of the app; nothing is submitted there."""
    app = an_app()
    tokens = expired(app)
    url = f"/refresh?next={quote(place, safe='')}{replay}"
    response = submit(app, url, tokens, refresh=tokens.refresh_token, data={})
    assert (response.status_code, response.headers["Location"]) == (303, "/")


@pytest.mark.parametrize("place", ELSEWHERE)
@pytest.mark.parametrize("where", ["query", "form"])
def test_a_sign_out_whose_next_points_elsewhere_leads_to_the_first_page(where: str, place: str) -> None:
    """The same."""
    app = an_app()
    path, data = (f"/signout?next={quote(place, safe='')}", {}) if where == "query" else ("/signout", {"next": place})
    response = submit(app, path, signed_in(app), data=data)
    assert (response.status_code, response.headers["Location"]) == (303, "/")


def test_an_address_with_two_slashes_leads_back_to_our_host() -> None:
    """It would be another host; the browser comes back to one of ours."""
    app = an_app()
    app.before_request(verify_session(lambda: None))
    environ = {"PATH_INFO": "//evil.example"}
    response = navigate(app, "/x", access=expired(app).access_token, environ_overrides=environ)
    assert form_of(response) == ("/refresh?next=/evil.example", None)


@pytest.mark.parametrize(
    ("login_url", "path", "location"),
    [
        ("/login", "/me?a=b", "/login?next=/me%3Fa%3Db"),
        ("/login?lang=de", "/me", "/login?lang=de&next=/me"),
        ("pages.login", "/me", "/sign/in?next=/me"),
    ],
)
def test_a_visitor_is_led_to_the_sign_in_that_knows_the_way_back(login_url: str, path: str, location: str) -> None:
    """A page leads to the log-in, which knows the way back."""
    app = an_app(login_url=login_url)
    pages = Blueprint("pages", __name__)
    pages.add_url_rule("/sign/in", "login", lambda: "log in")
    app.register_blueprint(pages)
    response = navigate(app, path)
    assert (response.status_code, response.headers["Location"]) == (303, location)


@pytest.mark.parametrize(
    ("referer", "way"),
    [
        ("http://localhost/form?a=b", "/login?next=/form%3Fa%3Db"),
        ("http://localhost/form?a=\\b", "/login?next=/form%3Fa%3D%255Cb"),
        ("http://evil.example/form", "/login"),
        ("http://localhost@evil.example/form", "/login"),
        ("http://localhost//evil.example", "/login"),
        ("http://[evil", "/login"),
        ("nonsense", "/login"),
        (None, "/login"),
    ],
)
def test_a_visitor_who_submits_a_form_is_led_back_to_the_page_of_the_form(referer: str | None, way: str) -> None:
    """The way back is the page that the form was on, where that is ours: its own address may be for POST only."""
    app = an_app(login_url="/login")
    response = submit(app, "/me", headers={} if referer is None else {"Referer": referer})
    assert (response.status_code, response.headers["Location"]) == (303, way)


def test_a_sign_in_page_that_asks_for_a_session_makes_no_loop() -> None:
    """The app's own mistake gets a page."""
    app = an_app(login_url="/me")
    response = navigate(app, "/me")
    assert (response.status_code, title(response), login_link(response)) == (401, "Please log in", None)
