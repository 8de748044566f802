"""JWTs for other services, and access tokens that they verify."""

from __future__ import annotations

import datetime
from typing import Any

import jwt
import pytest

from flask_supertokens import create_jwt, get_session_without_request, refresh_session_without_request
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import a_session, an_app, signed_in, state_of
from ..support.both import Make
from ..support.jwks import API, jwks, verified
from ..support.wire import call, contents

NOW = 1_700_000_000


@pytest.mark.parametrize("static", [True, False])
def test_a_jwt_is_verified_by_another_service_with_our_jwks(make: Make, static: bool) -> None:
    """Another service verifies it by our JWKS, with either kind of key; it has issuer, times and the payload."""
    app = make(api_domain=API)
    with app.app_context():
        token = create_jwt({"hello": "wörld", "aud": "reports"}, validity=90, use_static_key=static)
    claims = verified(app, token, audience="reports", issuer=API)
    assert claims == {"iss": API, "iat": NOW, "exp": NOW + 90, "hello": "wörld", "aud": "reports"}
    assert contents(token)[0]["kid"][0] == ("s" if static else "d")


def test_a_jwt_that_is_made_first_has_its_key_in_the_jwks_read_before(make: Make) -> None:
    """Whoever read the keys before it finds its key among them."""
    app = make()
    known = {key["kid"] for key in jwks(app)}
    with app.app_context():
        made = {contents(create_jwt({}, validity=60, use_static_key=static))[0]["kid"] for static in (True, False)}
    assert made <= known


def test_a_jwt_names_the_issuer_of_its_payload_before_the_settings_one(make: Make) -> None:
    """The payload's wins over the settings'."""
    app = make(api_domain=API)
    with app.app_context():
        token = create_jwt({"iss": "https://other.example"}, validity=datetime.timedelta(minutes=1))
    assert verified(app, token)["iss"] == "https://other.example"


@pytest.mark.parametrize("make", ["remote"], indirect=True)
def test_a_core_is_told_the_same_issuer_as_the_payload_says(make: Make) -> None:
    """The same as the payload says, so that it does not matter which of the two a core prefers."""
    app, told = make(api_domain=API), []
    client = state_of(app).engine.client  # type: ignore[attr-defined]
    ask = client.call
    client.call = lambda build: told.append(build("5.3").json["jwksDomain"]) or ask(build)
    with app.app_context():
        for payload in ({}, {"iss": "https://other.example"}):
            create_jwt(payload, validity=60)
    assert told == [API, "https://other.example"]


def test_a_jwt_opens_no_view(make: Make) -> None:
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
def test_a_jwt_that_is_valid_for_no_time_is_a_value_error(make: Make, validity: Any) -> None:
    """A ValueError, on each engine."""
    app = make()
    with app.app_context(), pytest.raises(ValueError, match="must be"):
        create_jwt({}, validity=validity)


@pytest.mark.parametrize("payload", [None, [], "text", {"x": {1}}, {"x": float("inf")}], ids=str)
def test_a_jwt_without_a_payload_is_a_value_error(make: Make, payload: Any) -> None:
    """A ValueError, on each engine."""
    app = make()
    with app.app_context(), pytest.raises(ValueError, match="payload must be"):
        create_jwt(payload, validity=60)


def test_an_access_token_is_verified_by_another_service_all_its_life(make: Make) -> None:
    """At log-in, after a refresh and after a change of its payload."""
    app = make(api_domain=API)
    session = a_session(app)
    tokens = [session.access_token]
    with app.app_context():
        tokens.append(refresh_session_without_request(str(session.tokens.refresh_token)).access_token)
        session.merge_into_access_token_payload({"role": "admin"})
    tokens.append(session.access_token)
    assert [verified(app, token, issuer=API).get("role") for token in tokens] == [None, None, "admin"]


def test_our_keys_do_not_verify_a_token_of_another_app(make: Make) -> None:
    """Our keys do not verify it."""
    app = make()
    with pytest.raises(jwt.PyJWTError):
        verified(app, signed_in(an_app(MemoryStore(), access_token_algorithm="EdDSA")).access_token)


def test_our_own_app_verifies_by_the_keys_that_are_published(make: Make) -> None:
    """The published keys are those that it goes by."""
    app = make()
    token = signed_in(app).access_token
    with app.app_context():
        assert get_session_without_request(token).access_token_payload == verified(app, token)
