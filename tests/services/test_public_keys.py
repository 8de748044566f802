"""Public keys: told, cached, replaced."""

from __future__ import annotations

import pytest

from ..support.apps import BrokenStore, an_app, clock_of, signed_in, state_of
from ..support.both import Make
from ..support.engines import rotate_keys
from ..support.jwks import API, jwks, verified
from ..support.plans import DAY, SECOND
from ..support.wire import call, contents

PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


PUBLIC = {"ES256": {"kty", "crv", "x", "y"}, "RS256": {"kty", "n", "e"}, "EdDSA": {"kty", "crv", "x"}}


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_published_keys_are_one_of_each_kind_and_public_parts_only(algorithm: str) -> None:
    """One of each kind, public parts only, whether there was a session before or not."""
    app = an_app(access_token_algorithm=algorithm)
    keys = jwks(app)
    assert sorted(key["kid"][:2] for key in keys) == ["d-", "s-"]
    for key in keys:
        assert (key["alg"], key["use"]) == (algorithm, "sig")
        assert key.keys() == {"kid", "alg", "use"} | PUBLIC[algorithm]
    assert contents(signed_in(app).access_token)[0]["kid"] in {key["kid"] for key in keys}
    assert jwks(app) == keys


def test_published_keys_of_a_core_have_no_private_part(make: Make) -> None:
    """The same on each engine: no private part of any key, and the key of a token is there."""
    app = make()
    kid = contents(signed_in(app).access_token)[0]["kid"]
    keys = jwks(app)
    assert kid in {key["kid"] for key in keys}
    assert not any(PRIVATE & key.keys() for key in keys)


@pytest.mark.parametrize("make", ["remote"], indirect=True)
def test_a_private_key_that_a_core_gives_away_is_not_published(make: Make) -> None:
    """Such a key is not published here."""
    app = make()
    client = state_of(app).engine.client  # type: ignore[attr-defined]
    client.fetch_keys = lambda _: ([{"kid": "d-1", "kty": "RSA", "d": "secret"}, {"kid": "d-2"}, "nonsense"], None)
    assert jwks(app) == [{"kid": "d-2"}]


def test_everybody_may_read_the_keys_from_any_origin_without_a_session(make: Make) -> None:
    """Pages of other origins too; for as long as there is no new key; no session is looked at or needed."""
    app = make(check_database=True)
    response = call(app, "GET", "/.well-known/jwks.json", access="garbage", headers={"Origin": "https://other.example"})
    headers = response.headers
    assert (headers["Access-Control-Allow-Origin"], headers["Content-Type"]) == ("*", "application/json; charset=utf-8")
    assert headers["Cache-Control"].endswith(", must-revalidate")
    assert "Set-Cookie" not in headers
    assert call(app, "HEAD", "/.well-known/jwks.json").status_code == 200
    assert call(app, "POST", "/.well-known/jwks.json").status_code == 405


def test_keys_kept_for_max_age_hold_the_key_of_every_token() -> None:
    """Whoever keeps them for ``max-age`` has the key of every token, also after a rotation by hand."""
    app = an_app()
    answer = call(app, "GET", "/.well-known/jwks.json")
    assert answer.headers["Cache-Control"] == "max-age=60, must-revalidate"
    rotate_keys(state_of(app).engine)  # type: ignore[arg-type]
    kept = {key["kid"] for key in answer.json["keys"]}
    clock_of(app).wait(59 * SECOND)
    assert contents(signed_in(app).access_token)[0]["kid"] in kept
    clock_of(app).wait(2 * SECOND)
    assert contents(signed_in(app).access_token)[0]["kid"] not in kept


def test_keys_of_a_core_that_does_not_tell_how_long_are_kept_for_a_minute() -> None:
    """A minute, where it does not."""
    app = an_app()
    engine = state_of(app).engine
    engine.upkeep.published_keys = lambda: ([], 60)  # type: ignore[method-assign]
    assert call(app, "GET", "/.well-known/jwks.json").headers["Cache-Control"] == "max-age=60, must-revalidate"


def test_a_replaced_key_is_published_as_long_as_its_tokens_live() -> None:
    """Old and new one are published as long as tokens of the old one live."""
    app = an_app()
    token = signed_in(app).access_token
    clock_of(app).wait(7 * DAY)
    signed_in(app)
    kids = [key["kid"] for key in jwks(app)]
    assert (len(kids), contents(token)[0]["kid"] in kids) == (3, True)


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({}, "/.well-known/jwks.json"),
        ({"api_base_path": "/auth"}, "/auth/jwt/jwks.json"),
        ({"api_base_path": "/"}, "/jwt/jwks.json"),
        ({"api_base_path": "/auth", "jwks_path": "/keys"}, "/keys"),
    ],
)
def test_keys_are_at_the_path_of_the_settings_and_nowhere_else(make: Make, settings: dict[str, str], path: str) -> None:
    """Of the settings, or below the base path; nowhere else."""
    app = make(api_domain=API, **settings)
    assert verified(app, signed_in(app).access_token, path)["sub"] == "user-1"
    discovered = settings.get("api_base_path", "").rstrip("/") + "/.well-known/openid-configuration"
    assert call(app, "GET", discovered).json["jwks_uri"] == API + path
    if path != "/.well-known/jwks.json":
        assert call(app, "GET", "/.well-known/jwks.json").status_code == 404


def test_an_app_without_routes_of_ours_publishes_no_keys() -> None:
    """Then there are no keys to be read either."""
    app = an_app(register_routes=False, api_domain=API, health_path="/health")
    for path in ("/.well-known/jwks.json", "/.well-known/openid-configuration", "/health"):
        assert call(app, "GET", path).status_code == 404


def test_known_keys_are_published_while_the_store_is_down() -> None:
    """Known keys are published all the same; without any it is 503."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    assert call(app, "GET", "/.well-known/jwks.json").status_code == 503
    store.down = False
    signed_in(app)
    store.down = True
    assert len(jwks(app)) == 1
