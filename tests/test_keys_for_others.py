"""What other services need: public keys, discovery, JWTs of our own; and what a load balancer asks: health."""

from __future__ import annotations

import datetime
from typing import Any

import jwt
import pytest
from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_supertokens import GeneralError, create_jwt, get_session_without_request, refresh_session_without_request
from flask_supertokens.sessions import check_health
from flask_supertokens.stores.memory import MemoryStore

from .support.both import ENGINES, Make, maker, served
from .support.engines import rotate_keys
from .support.wire import (
    BrokenStore,
    a_session,
    an_app,
    asserted_answer,
    call,
    clock_of,
    contents,
    signed_in,
    state_of,
    untouched,
)

SECOND, DAY = 1000, 86_400_000
NOW = 1_700_000_000
API = "https://api.example.com"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
PUBLIC = {"ES256": {"kty", "crv", "x", "y"}, "RS256": {"kty", "n", "e"}, "EdDSA": {"kty", "crv", "x"}}


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request)


def verified(app: Flask, token: str, path: str = "/.well-known/jwks.json", **options: Any) -> dict[str, Any]:
    """What another service reads from a token, with PyJWT and our JWKS; it has no clock of its own here."""
    with served(app) as address:
        key = jwt.PyJWKClient(address + path).get_signing_key_from_jwt(token)
    checks = {"verify_exp": False, "verify_iat": False, "verify_aud": "audience" in options}
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["ES256", "RS256", "EdDSA"], options=checks, **options)
    return claims


def jwks(app: Flask, path: str = "/.well-known/jwks.json", **request: Any) -> list[dict[str, Any]]:
    response = call(app, "GET", path, **request)
    assert response.status_code == 200
    keys: list[dict[str, Any]] = response.json["keys"]
    return keys


# -- public keys -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_keys_are_public(algorithm: str) -> None:
    """One of each kind, public parts only, whether there was a session before or not."""
    app = an_app(access_token_algorithm=algorithm)
    keys = jwks(app)
    assert sorted(key["kid"][:2] for key in keys) == ["d-", "s-"]
    for key in keys:
        assert (key["alg"], key["use"]) == (algorithm, "sig")
        assert key.keys() == {"kid", "alg", "use"} | PUBLIC[algorithm]
    assert contents(signed_in(app).access_token)[0]["kid"] in {key["kid"] for key in keys}
    assert jwks(app) == keys


def test_keys_of_a_core_are_public(make: Make) -> None:
    """The same on each engine: no private part of any key, and the key of a token is there."""
    app = make()
    kid = contents(signed_in(app).access_token)[0]["kid"]
    keys = jwks(app)
    assert kid in {key["kid"] for key in keys}
    assert not any(PRIVATE & key.keys() for key in keys)


@pytest.mark.parametrize("make", ["remote"], indirect=True)
def test_a_core_gives_away_its_private_key(make: Make) -> None:
    """Such a key is not published here."""
    app = make()
    client = state_of(app).engine.client  # type: ignore[attr-defined]
    client.fetch_keys = lambda _: ([{"kid": "d-1", "kty": "RSA", "d": "secret"}, {"kid": "d-2"}, "nonsense"], None)
    assert jwks(app) == [{"kid": "d-2"}]


def test_everybody_may_read_the_keys(make: Make) -> None:
    """Pages of other origins too; for as long as there is no new key; no session is looked at or needed."""
    app = make(check_database=True)
    response = call(app, "GET", "/.well-known/jwks.json", access="garbage", headers={"Origin": "https://other.example"})
    headers = response.headers
    assert (headers["Access-Control-Allow-Origin"], headers["Content-Type"]) == ("*", "application/json; charset=utf-8")
    assert headers["Cache-Control"].endswith(", must-revalidate")
    assert "Set-Cookie" not in headers
    assert call(app, "HEAD", "/.well-known/jwks.json").status_code == 200
    assert call(app, "POST", "/.well-known/jwks.json").status_code == 405


def test_keys_are_kept_as_long_as_they_are_said_to_be() -> None:
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


def test_a_core_tells_how_long() -> None:
    """A minute, where it does not."""
    app = an_app()
    engine = state_of(app).engine
    engine.upkeep.published_keys = lambda: ([], 60)  # type: ignore[method-assign]
    assert call(app, "GET", "/.well-known/jwks.json").headers["Cache-Control"] == "max-age=60, must-revalidate"


def test_a_key_is_replaced() -> None:
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
def test_keys_have_a_path(make: Make, settings: dict[str, str], path: str) -> None:
    """Of the settings, or below the base path; nowhere else."""
    app = make(api_domain=API, **settings)
    assert verified(app, signed_in(app).access_token, path)["sub"] == "user-1"
    discovered = settings.get("api_base_path", "").rstrip("/") + "/.well-known/openid-configuration"
    assert call(app, "GET", discovered).json["jwks_uri"] == API + path
    if path != "/.well-known/jwks.json":
        assert call(app, "GET", "/.well-known/jwks.json").status_code == 404


def test_an_app_has_no_routes_of_ours() -> None:
    """Then there are no keys to be read either."""
    app = an_app(register_routes=False, api_domain=API, health_path="/health")
    for path in ("/.well-known/jwks.json", "/.well-known/openid-configuration", "/health"):
        assert call(app, "GET", path).status_code == 404


def test_the_store_is_down_when_keys_are_asked_for() -> None:
    """Known keys are published all the same; without any it is 503."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    assert call(app, "GET", "/.well-known/jwks.json").status_code == 503
    store.down = False
    signed_in(app)
    store.down = True
    assert len(jwks(app)) == 1


# -- discovery ---------------------------------------------------------------------------------------------------------


def test_another_service_discovers_us(make: Make) -> None:
    """Issuer, address of the keys and algorithms; readable by everybody."""
    app = make(api_domain=API, api_base_path="/auth")
    response = call(app, "GET", "/auth/.well-known/openid-configuration")
    algorithm = contents(signed_in(app).access_token)[0]["alg"]
    body = {
        "issuer": f"{API}/auth",
        "jwks_uri": f"{API}/auth/jwt/jwks.json",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [algorithm],
    }
    asserted_answer(response, 200, body)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age=" in response.headers["Cache-Control"]


def test_what_is_discovered_stands_in_the_tokens(make: Make) -> None:
    """The issuer is that of access tokens and JWTs; a setting of its own wins."""
    app = make(api_domain=API, issuer="https://issuer.example")
    issuer = call(app, "GET", "/.well-known/openid-configuration").json["issuer"]
    with app.app_context():
        tokens = [signed_in(app).access_token, create_jwt({}, validity=60)]
    assert [contents(token)[1]["iss"] for token in tokens] == [issuer] * 2 == ["https://issuer.example"] * 2


def test_an_app_says_not_where_it_is(make: Make) -> None:
    """Without an API domain there is no issuer to be told, and no route."""
    assert call(make(), "GET", "/.well-known/openid-configuration").status_code == 404


def test_the_app_is_below_a_path() -> None:
    """The address of the keys is below it where the settings say so."""
    app = an_app(api_domain=API, APPLICATION_ROOT="/shop/")
    response = call(app, "GET", "/.well-known/openid-configuration")
    assert response.json["jwks_uri"] == f"{API}/shop/.well-known/jwks.json"


@pytest.mark.parametrize("prefix", ["/shop", "@evil.example", "//evil.example"])
def test_a_header_says_where_the_app_is(prefix: str) -> None:
    """Discovery does not listen: what one request says would be cached for others."""
    app = an_app(api_domain=API)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-Prefix": prefix, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    told = [call(app, "GET", "/.well-known/openid-configuration", headers=said) for said in ({}, headers)]
    assert told[0].json["jwks_uri"] == f"{API}/.well-known/jwks.json"
    assert (told[0].data, list(told[0].headers)) == (told[1].data, list(told[1].headers))


# -- JWTs for others ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("static", [True, False])
def test_a_jwt_is_made(make: Make, static: bool) -> None:
    """Another service verifies it by our JWKS, with either kind of key; it has issuer, times and the payload."""
    app = make(api_domain=API)
    with app.app_context():
        token = create_jwt({"hello": "wörld", "aud": "reports"}, validity=90, use_static_key=static)
    claims = verified(app, token, audience="reports", issuer=API)
    assert claims == {"iss": API, "iat": NOW, "exp": NOW + 90, "hello": "wörld", "aud": "reports"}
    assert contents(token)[0]["kid"][0] == ("s" if static else "d")


def test_a_jwt_is_the_first_thing_that_is_made(make: Make) -> None:
    """Whoever read the keys before it finds its key among them."""
    app = make()
    known = {key["kid"] for key in jwks(app)}
    with app.app_context():
        made = {contents(create_jwt({}, validity=60, use_static_key=static))[0]["kid"] for static in (True, False)}
    assert made <= known


def test_a_jwt_names_its_issuer(make: Make) -> None:
    """The payload's wins over the settings'."""
    app = make(api_domain=API)
    with app.app_context():
        token = create_jwt({"iss": "https://other.example"}, validity=datetime.timedelta(minutes=1))
    assert verified(app, token)["iss"] == "https://other.example"


@pytest.mark.parametrize("make", ["remote"], indirect=True)
def test_a_core_is_told_who_the_issuer_is(make: Make) -> None:
    """The same as the payload says, so that it does not matter which of the two a core prefers."""
    app, told = make(api_domain=API), []
    client = state_of(app).engine.client  # type: ignore[attr-defined]
    ask = client.call
    client.call = lambda build: told.append(build("5.3").json["jwksDomain"]) or ask(build)
    with app.app_context():
        for payload in ({}, {"iss": "https://other.example"}):
            create_jwt(payload, validity=60)
    assert told == [API, "https://other.example"]


def test_a_jwt_is_no_access_token(make: Make) -> None:
    """It opens no view, whatever it says; and what would make it one is refused."""
    app = make()
    claims = {"sub": "user-1", "tId": "public", "rsub": "user-1", "refreshTokenHash1": "a" * 64}
    with app.app_context():
        token = create_jwt(claims, validity=60)
        with pytest.raises(ValueError, match="sessionHandle"):
            create_jwt({**claims, "sessionHandle": "handle"}, validity=60)
    assert call(app, "GET", "/me", bearer=token).status_code == 401
    assert call(app, "GET", "/me", access=token).status_code == 401


@pytest.mark.parametrize("validity", [0, 0.5, -1, None, True, "60", float("nan"), float("inf"), datetime.timedelta(0)])
def test_a_jwt_is_valid_for_no_time(make: Make, validity: Any) -> None:
    """A ValueError, on each engine."""
    app = make()
    with app.app_context(), pytest.raises(ValueError, match="must be"):
        create_jwt({}, validity=validity)


@pytest.mark.parametrize("payload", [None, [], "text", {"x": {1}}, {"x": float("inf")}], ids=str)
def test_a_jwt_has_no_payload(make: Make, payload: Any) -> None:
    """A ValueError, on each engine."""
    app = make()
    with app.app_context(), pytest.raises(ValueError, match="payload must be"):
        create_jwt(payload, validity=60)


def test_an_access_token_is_verified_by_another_service(make: Make) -> None:
    """At log-in, after a refresh and after a change of its payload."""
    app = make(api_domain=API)
    session = a_session(app)
    tokens = [session.access_token]
    with app.app_context():
        tokens.append(refresh_session_without_request(str(session.tokens.refresh_token)).access_token)
        session.merge_into_access_token_payload({"role": "admin"})
    tokens.append(session.access_token)
    assert [verified(app, token, issuer=API).get("role") for token in tokens] == [None, None, "admin"]


def test_a_token_of_another_app_is_verified(make: Make) -> None:
    """Our keys do not verify it."""
    app = make()
    with pytest.raises(jwt.PyJWTError):
        verified(app, signed_in(an_app(MemoryStore(), access_token_algorithm="EdDSA")).access_token)


def test_our_own_app_verifies_by_its_own_means(make: Make) -> None:
    """The published keys are those that it goes by."""
    app = make()
    token = signed_in(app).access_token
    with app.app_context():
        assert get_session_without_request(token).access_token_payload == verified(app, token)


# -- health ------------------------------------------------------------------------------------------------------------


def test_all_is_well(make: Make) -> None:
    """200, without a session; the function says nothing."""
    app = make(health_path="/health")
    response = call(app, "GET", "/health", access="garbage")
    asserted_answer(response, 200, {"status": "OK"})
    assert untouched(response)
    with app.app_context():
        assert check_health() is None  # type: ignore[func-returns-value]


def test_nobody_asks_for_health(make: Make) -> None:
    """There is no such route unless the settings name one."""
    assert call(make(), "GET", "/health").status_code == 404


def test_the_store_is_down() -> None:
    """503 with Retry-After; the function raises; later all is well."""
    store = BrokenStore()
    app = an_app(store, health_path="/healthz")
    store.down = True
    response = call(app, "GET", "/healthz")
    asserted_answer(response, 503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    with app.app_context(), pytest.raises(GeneralError):
        check_health()
    store.down = False
    assert call(app, "GET", "/healthz").status_code == 200


def test_the_core_is_down() -> None:
    """503 as well."""
    app = Flask("app")
    from flask_supertokens import SuperTokens

    app.config.update(SUPERTOKENS_CONNECTION_URI="http://127.0.0.1:9", SUPERTOKENS_HEALTH_PATH="/health")
    SuperTokens(app)
    assert call(app, "GET", "/health").status_code == 503
