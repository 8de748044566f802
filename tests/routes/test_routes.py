"""The routes: methods, paths, bodies."""

from __future__ import annotations

import json

import pytest

from ..support.apps import an_app, signed_in
from ..support.wire import OWN_ROUTES, UNAUTHORISED, ask, call, post_refresh, sets_no_tokens


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/refresh", "/signout"])
def test_our_routes_take_no_other_method_than_post(path: str, method: str) -> None:
    """Only POST changes anything."""
    app = an_app()
    tokens = signed_in(app)
    response = call(app, method, path, access=tokens.access_token, refresh=tokens.refresh_token)
    assert (response.status_code, sets_no_tokens(response)) == (405, True)


def test_a_preflight_of_our_routes_needs_no_session() -> None:
    """It is answered without a session."""
    assert call(an_app(), "OPTIONS", "/refresh").status_code == 200


def test_the_routes_stand_below_the_base_path_only() -> None:
    """They are where the official web client looks, and nowhere else."""
    app = an_app(api_base_path="/auth")
    tokens = signed_in(app)
    assert call(app, "POST", "/auth/session/refresh", refresh=tokens.refresh_token).status_code == 200
    assert call(app, "POST", "/auth/signout", access=tokens.access_token).json == {"status": "OK"}
    assert [call(app, "POST", path).status_code for path in ("/refresh", "/signout")] == [404, 404]


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data", "nonsense", ""])
@pytest.mark.parametrize("body", [b"", b"{", b"\xff" * 10])
def test_a_body_sent_to_our_routes_is_not_read(content_type: str, body: bytes) -> None:
    """It is not read."""
    app = an_app()
    headers = {"Content-Type": content_type}
    assert post_refresh(app, refresh=signed_in(app).refresh_token, headers=headers, data=body).status_code == 200


def test_the_bodies_of_our_routes_are_compact_bytes() -> None:
    """Exactly the bytes that clients know."""
    app = an_app()
    tokens = signed_in(app)
    assert post_refresh(app, refresh=tokens.refresh_token).data == b"{}"
    assert call(app, "POST", "/signout", access=tokens.access_token).data == b'{"status":"OK"}'
    assert call(app, "GET", "/me").data == json.dumps(UNAUTHORISED, separators=(",", ":")).encode()


def test_tokens_in_the_address_are_not_read() -> None:
    """They are not read there, under none of their names: addresses are logged and passed on."""
    app = an_app()
    tokens = signed_in(app)
    names = (
        "sAccessToken",
        "access_token",
        "token",
        "st-access-token",
        "sRefreshToken",
        "refresh_token",
        "st-refresh-token",
    )
    for method, path, token in (("GET", "/me", tokens.access_token), ("POST", "/refresh", tokens.refresh_token)):
        response = call(app, method, path, query_string=dict.fromkeys(names, token))
        assert (response.status_code, response.json) == (401, UNAUTHORISED)


NAMES = [["refresh"], ["signout", "jwks"], ["health", "discovery"], ["static"], sorted(OWN_ROUTES)]


@pytest.mark.parametrize("names", NAMES, ids=",".join)
def test_only_the_routes_that_are_named_are_registered(names: list[str]) -> None:
    """Those are there, under their endpoints, and the others are not."""
    paths = {"health": {"health_path": "/health"}, "discovery": {"api_domain": "http://localhost"}}
    needed = {key: value for name in names for key, value in paths.get(name, {}).items()}
    app = an_app(register_routes=names, **needed)
    there = set()
    for name, (method, where) in OWN_ROUTES.items():
        with call(app, method, where) as response:
            there |= {name} if response.status_code != 404 else set()
    assert there == set(names)
    assert {rule.endpoint for rule in app.url_map.iter_rules() if rule.endpoint.startswith("supertokens.")} == {
        f"supertokens.{name}" for name in names
    }


@pytest.mark.parametrize("path", ["/refresh", "/signout"])
def test_routes_refuse_get(path: str) -> None:
    """No side effects on GET."""
    assert ask(an_app(), "GET", path).status_code == 405
