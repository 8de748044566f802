"""An app has a view of its own at a path of ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask import Blueprint, Flask, url_for
from werkzeug.routing import Rule, Submount

from flask_supertokens import (
    SuperTokens,
    refresh_session,
)
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, an_app, login, signed_in, state_of
from ..support.cookies import set_cookies
from ..support.wire import OWN_ROUTES, assert_response, call, cleared_methods, post_refresh


def an_own_refresh() -> Any:
    return {"refreshed": refresh_session().user_id}, 201


def before_us(app: Flask) -> None:
    own_view(app)
    SuperTokens(app, store=MemoryStore())


def after_us(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    own_view(app)


def by_a_blueprint(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    own = Blueprint("own", __name__, url_prefix="/refresh")
    own.add_url_rule("", "own", an_own_refresh, methods=["POST"])
    app.register_blueprint(own)


def by_a_rule(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Rule("/refresh", endpoint="own", methods=["POST"]))
    app.view_functions["own"] = an_own_refresh


def by_a_factory_of_rules(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Submount("/", [Rule("/refresh", endpoint="own", methods=["POST"])]))
    app.view_functions["own"] = an_own_refresh


def by_a_lax_slash(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.add_url_rule("/refresh/", "own", an_own_refresh, methods=["POST"], strict_slashes=False)


def for_every_method(app: Flask) -> None:
    SuperTokens(app, store=MemoryStore())
    app.url_map.add(Rule("/refresh", endpoint="own"))
    app.view_functions["own"] = an_own_refresh


def own_view(app: Flask) -> None:
    app.add_url_rule("/refresh", "own", an_own_refresh, methods=["POST"])


WAYS = (before_us, after_us, by_a_blueprint, by_a_rule, by_a_factory_of_rules, by_a_lax_slash, for_every_method)


def with_own_view(way: Callable[[Flask], None], **config: Any) -> Flask:
    app = Flask("own")
    app.config.update({"SECRET_KEY": SECRET, "SUPERTOKENS_COOKIE_SECURE": False, **config})
    way(app)
    return app


@pytest.mark.parametrize("way", WAYS)
def test_a_refresh_view_of_the_apps_own_wins_at_our_path(way: Callable[[Flask], None]) -> None:
    """It wins at our path, wherever and however it was registered; our other routes stay, and so does the address of ours."""
    app = with_own_view(way)
    tokens = signed_in(app)
    response = post_refresh(app, access=tokens.access_token, refresh=tokens.refresh_token)
    assert (response.status_code, response.json) == (201, {"refreshed": "user-1"})
    access = set_cookies(response)["sAccessToken"].value
    assert call(app, "POST", "/signout", access=access).json == {"status": "OK"}
    assert call(app, "GET", "/.well-known/jwks.json").json["keys"]
    with app.test_request_context():
        assert url_for("supertokens.refresh") == "/refresh"


def test_our_route_goes_on_beside_a_view_for_another_method() -> None:
    """Ours goes on for the rest; what is allowed there is said of both."""
    app = an_app()
    app.add_url_rule("/refresh", "page", lambda: "how to refresh")
    tokens = signed_in(app)
    assert call(app, "GET", "/refresh").text == "how to refresh"
    assert_response(post_refresh(app, refresh=tokens.refresh_token), 200, {})
    refused = call(app, "PUT", "/refresh")
    assert (refused.status_code, set(refused.allow)) == (405, {"GET", "HEAD", "OPTIONS", "POST"})
    assert set(call(app, "OPTIONS", "/refresh").allow) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/signout", "signout"),
        ("/.well-known/jwks.json", "jwks"),
        ("/.well-known/openid-configuration", "discovery"),
        ("/health", "health"),
        ("/supertokens-assets/<path:filename>", "static"),
    ],
)
def test_each_of_our_routes_makes_way_for_a_view_of_the_apps(path: str, endpoint: str) -> None:
    """Each of our routes makes way, and no other one with it."""
    app = an_app(health_path="/health", api_domain="http://localhost")
    app.add_url_rule(path, "own", lambda **_: "mine", methods=["GET", "POST"])
    answers = {}
    for name, (method, where) in OWN_ROUTES.items():
        with call(app, method, where) as response:
            answers[name] = response.text
    assert {name for name, text in answers.items() if text == "mine"} == {endpoint}


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/<path:rest>", {}),
        ("/<name>", {}),
        ("/refresh/", {}),
        ("/refresh", {"subdomain": "api"}),
        ("/refresh", {"build_only": True}),
    ],
)
def test_a_rule_that_no_such_request_reaches_leaves_our_route(path: str, options: dict[str, Any]) -> None:
    """One that takes any path, or that no request of this kind reaches, takes nothing from ours."""
    app = an_app()
    app.add_url_rule(path, "own", lambda **_: "mine", methods=["POST"], **options)
    assert_response(post_refresh(app, refresh=signed_in(app).refresh_token), 200, {})


def test_a_websocket_at_our_path_leaves_our_route() -> None:
    """It is another kind of request: the keys are still there."""
    app = an_app()
    app.add_url_rule("/.well-known/jwks.json", "own", lambda: "mine", websocket=True)
    assert call(app, "GET", "/.well-known/jwks.json").json["keys"]


def test_an_own_refresh_view_works_by_refresh_session() -> None:
    """Without our routes the paths stay and set the cookie path; `refresh_session` does the work."""
    app = Flask("own")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False, SUPERTOKENS_REGISTER_ROUTES=False)
    SuperTokens(app, store=MemoryStore())
    app.add_url_rule("/login", view_func=login, methods=["POST"])
    app.add_url_rule("/refresh", view_func=lambda: {"user": refresh_session().user_id}, methods=["POST"])
    cookies = set_cookies(call(app, "POST", "/login"))
    assert cookies["sRefreshToken"].path == "/refresh"
    assert call(app, "POST", "/refresh", refresh=cookies["sRefreshToken"].value).json == {"user": "user-1"}
    assert cleared_methods(call(app, "POST", "/refresh")) == {"cookie", "header"}
    assert call(app, "POST", "/signout").status_code == 404
    assert state_of(app).settings.signout_path == "/signout"
