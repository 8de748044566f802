"""Discovery: what another service learns of an issuer."""

from __future__ import annotations

import pytest
from werkzeug.middleware.proxy_fix import ProxyFix

from flask_supertokens import create_jwt

from ..support.apps import an_app, signed_in
from ..support.both import Make
from ..support.jwks import API
from ..support.wire import assert_response, call, contents


def test_another_service_discovers_issuer_keys_and_algorithms(make: Make) -> None:
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
    assert_response(response, 200, body)
    assert response.headers["Access-Control-Allow-Origin"] == "*"
    assert "max-age=" in response.headers["Cache-Control"]


def test_the_issuer_that_is_discovered_stands_in_the_tokens(make: Make) -> None:
    """The issuer is that of access tokens and JWTs; a setting of its own wins."""
    app = make(api_domain=API, issuer="https://issuer.example")
    issuer = call(app, "GET", "/.well-known/openid-configuration").json["issuer"]
    with app.app_context():
        tokens = [signed_in(app).access_token, create_jwt({}, validity=60)]
    assert [contents(token)[1]["iss"] for token in tokens] == [issuer] * 2 == ["https://issuer.example"] * 2


def test_an_app_that_says_not_where_it_is_has_no_discovery(make: Make) -> None:
    """Without an API domain there is no issuer to be told, and no route."""
    assert call(make(), "GET", "/.well-known/openid-configuration").status_code == 404


def test_the_address_of_the_keys_is_below_the_app_s_path() -> None:
    """The address of the keys is below it where the settings say so."""
    app = an_app(api_domain=API, APPLICATION_ROOT="/shop/")
    response = call(app, "GET", "/.well-known/openid-configuration")
    assert response.json["jwks_uri"] == f"{API}/shop/.well-known/jwks.json"


@pytest.mark.parametrize("prefix", ["/shop", "@evil.example", "//evil.example"])
def test_discovery_does_not_listen_to_a_header_that_says_where_the_app_is(prefix: str) -> None:
    """Discovery does not listen: what one request says would be cached for others."""
    app = an_app(api_domain=API)
    app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_port=1, x_prefix=1)  # type: ignore[method-assign]
    headers = {"X-Forwarded-Prefix": prefix, "X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http"}
    told = [call(app, "GET", "/.well-known/openid-configuration", headers=said) for said in ({}, headers)]
    assert told[0].json["jwks_uri"] == f"{API}/.well-known/jwks.json"
    assert (told[0].data, list(told[0].headers)) == (told[1].data, list(told[1].headers))
