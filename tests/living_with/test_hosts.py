"""Apps that tell hosts or subdomains apart: our routes are wherever theirs are."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask, request, url_for

from flask_supertokens import create_new_session, current_session, verify_session
from tests.support.apps import build_app
from tests.support.cookies import cookie_values

KINDS = ["host_matching", "subdomain_matching"]
HOSTS = ["example.com", "acme.example.com", "eu.acme.example.com"]


def an_app(kind: str, **config: Any) -> Flask:
    """A tenant a host: ``/login`` and ``/me`` on each of them, and on the bare one."""
    is_host = kind == "host_matching"
    app = Flask("tenants", **({"host_matching": True, "static_host": "example.com"} if is_host else {kind: True}))
    places = {"host": ["example.com", "<tenant>.example.com"], "subdomain": ["", "<tenant>"]}
    key = "host" if is_host else "subdomain"
    my_page = verify_session(me)

    def add_views(app: Flask) -> None:
        for place in places[key]:
            app.add_url_rule("/login", "login", log_in, methods=["POST"], **{key: place})
            app.add_url_rule("/me", "me", my_page, **{key: place})
            app.add_url_rule("/page", "page", page, **{key: place})

    own = {"cookie_secure": False, "health_path": "/health", "api_domain": "http://example.com"}
    return build_app(add_views, flask=app, SERVER_NAME=None if is_host else "example.com", **own, **config)


def log_in(tenant: str = "") -> str:
    create_new_session(f"user of {tenant}")
    return ""


def me(tenant: str = "") -> str:
    return current_session.user_id


def page(tenant: str = "") -> list[str]:
    return [
        url_for("supertokens.refresh"),
        url_for("supertokens.signout", next="/"),
        url_for("supertokens.static", filename="pages.css"),
        url_for("supertokens.refresh", _external=True),
    ]


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_tenant_signs_in_refreshes_and_signs_out_on_each_host(kind: str, host: str) -> None:
    """On each host that the app serves."""
    client, url = an_app(kind).test_client(), f"http://{host}"
    client.post("/login", base_url=url)
    user = client.get("/me", base_url=url).text
    refreshed = client.post("/refresh", base_url=url)
    assert (refreshed.status_code, set(cookie_values(refreshed))) == (200, {"sAccessToken", "sRefreshToken"})
    assert (user, client.get("/me", base_url=url).text) == (f"user of {host[: -len('.example.com')]}", user)
    assert client.post("/signout", base_url=url).json == {"status": "OK"}
    assert client.get("/me", base_url=url).status_code == 401


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_other_routes_work_on_each_host_without_it_as_an_argument(kind: str, host: str) -> None:
    """Keys, discovery, health, and the files of our pages; none of them sees the host among its arguments."""
    app, seen = an_app(kind), []
    app.before_request(lambda: seen.append(request.view_args))
    paths = ("/.well-known/jwks.json", "/.well-known/openid-configuration", "/health", "/supertokens-assets/pages.css")
    client = app.test_client()
    statuses = []
    for path in paths:
        with client.get(path, base_url=f"http://{host}") as response:
            statuses.append(response.status_code)
    assert (statuses, seen) == ([200] * 4, [{}, {}, {}, {"filename": "pages.css"}])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("kind", KINDS)
def test_url_for_stays_on_the_host_that_is_being_served(kind: str, host: str) -> None:
    """``url_for`` stays on the host that is being served."""
    urls = an_app(kind).test_client().get("/page", base_url=f"http://{host}").json
    assert urls[:3] == ["/refresh", "/signout?next=/", "/supertokens-assets/pages.css"]
    assert urls[3] == f"http://{host}/refresh"


@pytest.mark.parametrize("kind", KINDS)
def test_a_url_without_a_request_leads_to_server_name(kind: str) -> None:
    """A URL leads to ``SERVER_NAME`` then."""
    app = an_app(kind)
    app.config["SERVER_NAME"] = "example.com"
    with app.app_context():
        assert url_for("supertokens.refresh") == "http://example.com/refresh"


def test_the_port_is_part_of_the_host_that_flask_matches() -> None:
    """It is part of the host that Flask matches."""
    client = an_app("host_matching").test_client()
    assert client.post("/refresh", base_url="http://acme.example.com:5000").status_code == 401


@pytest.mark.parametrize("kind", KINDS)
def test_status_finds_nothing_wrong_with_pages_on_tenants_hosts(kind: str) -> None:
    """Nothing looks wrong, with a log-in page on tenants' hosts too."""
    result = an_app(kind, SUPERTOKENS_LOGIN_URL="login").test_cli_runner().invoke(args=["supertokens", "status"])
    assert "Nothing looks wrong." in result.output


@pytest.mark.parametrize("kind", KINDS)
def test_status_finds_the_app_s_own_routes_on_one_host(kind: str) -> None:
    """``status`` finds a refresh view on any host, and names one that stands in the place of ours."""
    place: dict[str, Any] = {"host": "api.example.com"} if kind == "host_matching" else {"subdomain": "api"}
    for ours in (True, ["signout", "jwks"], False):
        app = an_app(kind, SUPERTOKENS_REGISTER_ROUTES=ours)
        app.add_url_rule("/refresh", "own", lambda: "", methods=["POST"], **place)
        output = app.test_cli_runner().invoke(args=["supertokens", "status"]).output
        assert "Nothing looks wrong." in output
        assert ("POST /refresh is served by the app's own view own" in output) == (ours is True)


@pytest.mark.parametrize("pattern", ["api.example.com", "<tenant>.example.com", "<anything>"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_app_s_own_refresh_view_wins_on_its_hosts_only(kind: str, pattern: str) -> None:
    """It wins on those, however they are written; ours is on the others."""
    place = pattern if kind == "host_matching" else pattern.removesuffix(".example.com")
    app = an_app(kind)
    app.add_url_rule("/refresh", "own", lambda **_: "mine", methods=["POST"], **{kind.removesuffix("_matching"): place})
    client = app.test_client()
    assert client.post("/refresh", base_url="http://api.example.com").text == "mine"
    bare = client.post("/refresh", base_url="http://example.com")
    assert (bare.text == "mine") == (pattern == "<anything>" and kind == "host_matching")
    assert bare.status_code in (200, 401)
