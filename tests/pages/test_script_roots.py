"""Apps below a script root, and script roots that are none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.test import Client

from ..support.apps import an_app, clock_of, signed_in
from ..support.cookies import parsed_cookie
from ..support.navigating import (
    FORM,
    HOUR,
    PAGE,
    expired,
    files_of,
    form_of,
    navigate,
    submit,
)
from ..support.wire import call


def test_the_hop_of_a_mounted_app_stays_below_its_script_root() -> None:
    """All addresses go under the script root, and the browser comes back below it."""
    app = an_app(login_url="/login", cookie_secure=False)
    client = Client(DispatcherMiddleware(lambda *_: [], {"/shop": app}))
    client.post("/shop/login")
    clock_of(app).wait(HOUR + 1000)
    response = client.get("/shop/me?a=b", headers=PAGE)
    action, _ = form_of(response)
    assert action == "/shop/refresh?next=/shop/me%3Fa%3Db"
    assert 'src="/shop/supertokens-assets/refresh.js"' in response.text
    assert client.post(action, headers=FORM).headers["Location"] == "/shop/me?a=b"
    assert client.get("/shop/me", headers=PAGE).status_code == 200
    assert client.post("/shop/signout", headers=FORM).headers["Location"] == "/shop/"
    assert client.get("/shop/me", headers=PAGE).headers["Location"] == "/shop/login?next=/shop/me"


BAD_ROOTS = pytest.mark.parametrize(
    "root", ["//evil.example", "@evil.example", "/\\evil.example", "/a//evil.example", "evil.example"]
)


def told_its_root(root: str, **settings: Any) -> tuple[Flask, Mapping[str, Any]]:
    """An app that believes a proxy's header, and the arguments of a request with that header."""
    app = an_app(cookie_secure=False, **settings)
    app.add_url_rule("/sign-in", "sign_in", lambda: "")
    app.wsgi_app = ProxyFix(app.wsgi_app, x_prefix=1)  # type: ignore[method-assign]
    return app, {"headers": {"X-Forwarded-Prefix": root}}


@BAD_ROOTS
@pytest.mark.parametrize("login", ["/sign-in", "sign_in"])
def test_no_redirect_link_or_cookie_follows_a_script_root_that_is_no_path(root: str, login: str) -> None:
    """No redirect and no link leads there, and no cookie goes there."""
    app, so = told_its_root(root, login_url=login)
    assert submit(app, "/signout", signed_in(app), **so).headers["Location"] == "/"
    assert navigate(app, "/me", **so).headers["Location"] == "/sign-in?next=/me"
    assert submit(app, "/me", expired(app), **so).headers["Location"] == "/refresh?next=/me&replay=1"
    lines = call(app, "POST", "/login", **so).headers.getlist("Set-Cookie")
    assert [parsed_cookie(line).path for line in lines] == ["/", "/refresh"]


@BAD_ROOTS
def test_a_hop_stays_where_it_is_below_a_script_root_that_is_no_path(root: str) -> None:
    """Form, script and style stay where they are, and so does the way back."""
    app, so = told_its_root(root)
    tokens = expired(app)
    page = navigate(app, "/me?a=b", access=tokens.access_token, **so)
    assert form_of(page) == ("/refresh?next=/me%3Fa%3Db", None)
    assert files_of(app, page, **so) == ["/supertokens-assets/pages.css", "/supertokens-assets/refresh.js"]
    for target in ("", "?next=/me"):
        back = submit(app, f"/refresh{target}", tokens, refresh=tokens.refresh_token, **so)
        assert back.headers["Location"] == ("/me" if target else "/")
