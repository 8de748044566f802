"""What a stranger sends: the right one of *unauthorised* and *try refresh token*, never a 500, and no state is changed."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse, create_environ, run_wsgi_app

import flask_supertokens
from flask_supertokens import (
    Session,
    create_jwt,
    create_new_session,
    current_session,
    merge_into_access_token_payload,
    verify_session,
)
from flask_supertokens.protocol.model import AS_SET
from flask_supertokens.protocol.payloads import PROTECTED_NAMES
from flask_supertokens.protocol.tokens import parse_access_token

from ..support.apps import a_session, an_app, an_app_with_users, clock_of, handles, signed_in, state_of
from ..support.cookies import set_cookies
from ..support.engines import keys_of
from ..support.names import spell
from ..support.wire import (
    CLAIMS,
    HEADER,
    TRY_REFRESH,
    UNAUTHORISED,
    assert_response,
    call,
    cleared_methods,
    contents,
    encode_part,
    forge,
    forged_with,
    run,
    sets_no_tokens,
    without,
)

HOUR = 3_600_000
LIMIT = 4096


@pytest.fixture(scope="module")
def app() -> Flask:
    """An app that someone is signed in to."""
    app = an_app()
    signed_in(app)
    return app


@pytest.fixture
def state(app: Flask) -> Iterator[None]:
    """The store holds at the end what it held before."""
    store: Any = state_of(app).engine.store  # type: ignore[attr-defined]
    before = copy.deepcopy((store._sessions, store._keys))
    yield
    assert (store._sessions, store._keys) == before


def served(app: Flask, **request: Any) -> list[TestResponse]:
    """The answers of a required and an optional view, safe and unsafe, and of sign-out."""
    targets = [("GET", "/me"), ("POST", "/me"), ("GET", "/maybe"), ("POST", "/maybe"), ("POST", "/signout")]
    return [call(app, method, path, **request) for method, path in targets]


# -- access tokens -----------------------------------------------------------------------------------------------------


def resigned(good: str, **header: Any) -> str:
    """The claims of a token under a header of one's own, signed with the public key as if it were a shared secret."""
    known, claims = contents(good)
    signed = f"{encode_part({**known, **header})}.{encode_part(claims)}"
    signature = hmac.new(b"-----BEGIN PUBLIC KEY-----", signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{encode_part(signature)}"


def with_claims(good: str, **claims: Any) -> str:
    """A token with other claims under the old signature."""
    header, _, signature = good.split(".")
    return f"{header}.{encode_part({**contents(good)[1], **claims})}.{signature}"


def signed_by_a_stranger(good: str, **header: Any) -> str:
    known, claims = contents(good)
    key = ec.generate_private_key(ec.SECP256R1())
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": known["kid"], "version": "5", **header})


FOREIGN: dict[str, Callable[[str], str]] = {
    "garbage": lambda good: "garbage",
    "two parts": lambda good: good.rpartition(".")[0],
    "four parts": lambda good: good + ".x",
    "cut in the header": lambda good: good[:20],
    "cut in the claims": lambda good: good[: good.index(".") + 40],
    "only dots": lambda good: "..",
    "100 kB": lambda good: "x" * 100_000,
    "100 kB of claims": lambda good: forge({**CLAIMS, "x": "y" * 100_000}),
    "100 kB of signature": lambda good: good + "A" * 100_000,
    "100 kB of dots": lambda good: "." * 100_000,
    "a letter beyond ASCII": lambda good: "é" + good,
    "control bytes": lambda good: good[:30] + "\x01\x7f" + good[30:],
    "white space": lambda good: good.replace(".", " . "),
    "algorithm none": lambda good: resigned(good, alg="none").rpartition(".")[0] + ".",
    "algorithm HS256": lambda good: resigned(good, alg="HS256"),
    "algorithm RS256": lambda good: resigned(good, alg="RS256"),
    "no kid": lambda good: forge(contents(good)[1], without(HEADER, "kid")),
    "a kid that is a path": lambda good: forge(contents(good)[1], {**HEADER, "kid": "d-../../etc/passwd"}),
    "types in the claims": lambda good: forge({**contents(good)[1], "exp": "tomorrow"}),
    "a list for claims": lambda good: forge([1, 2]),
    "a header deep as a well": lambda good: f"{encode_part(b'[' * 10_000)}.{encode_part(CLAIMS)}.x",
    "claims deep as a well": lambda good: f"{encode_part(HEADER)}.{encode_part(b'[' * 10_000)}.x",
    "1e999": lambda good: forge(json.dumps(CLAIMS).replace("1700003600", "1e999").encode()),
    "NaN": lambda good: forge({**CLAIMS, "x": float("nan")}),
    "a number of 5000 digits": lambda good: forge(json.dumps(CLAIMS).replace("1700003600", "9" * 5000).encode()),
    "a lone surrogate": lambda good: forge({**CLAIMS, "antiCsrfToken": "\ud800"}),
    "UTF-16": lambda good: forge(json.dumps({**CLAIMS, "antiCsrfToken": "\ud800"}).encode("utf-16-le")),
}

GENUINE_FORM: dict[str, Callable[[str], str]] = {
    "another signature": lambda good: good[:-10] + "AAAAAAAAAA",
    "no signature": lambda good: good.rpartition(".")[0] + ".",
    "a signature cut": lambda good: good[:-4],
    "a signature with a letter beyond ASCII": lambda good: good + "é",
    "another user": lambda good: with_claims(good, sub="admin"),
    "a longer life": lambda good: with_claims(good, exp=2**40),
    "another key": signed_by_a_stranger,
    "a key in the header": lambda good: signed_by_a_stranger(good, jwk={"kty": "EC"}, jku="https://evil.com", x5u="x"),
    "an unknown kid": lambda good: resigned(good, kid="d-1"),
    "a static kid": lambda good: resigned(good, kid="s-1"),
    "claims of 12 kB": lambda good: with_claims(good, x="y" * 9000),
    "a nest that just parses": lambda good: with_claims(good, x=json.loads("[" * 200 + "]" * 200)),
    "an end before the beginning": lambda good: with_claims(good, exp=-(2**52)),
    "a parent": lambda good: with_claims(good, parentRefreshTokenHash1="0" * 64),
}


@pytest.mark.parametrize("by", ["access", "bearer"])
@pytest.mark.parametrize("spoil", FOREIGN.values(), ids=FOREIGN)
def test_a_token_that_has_not_our_form_counts_as_absent(
    app: Flask, state: None, spoil: Callable[[str], str], by: str
) -> None:
    """It is as if there were none: *unauthorised* where a session is required, nobody where it is optional."""
    for response in served(app, **{by: spoil(signed_in_apart(app))}):
        assert response.status_code in (200, 401)
        assert response.json == (UNAUTHORISED if response.status_code == 401 else {"user": None, "method": None})
        assert sets_no_tokens(response)


@pytest.mark.parametrize("by", ["access", "bearer"])
@pytest.mark.parametrize("spoil", GENUINE_FORM.values(), ids=GENUINE_FORM)
def test_a_token_that_was_tampered_with_gets_try_refresh(
    app: Flask, state: None, spoil: Callable[[str], str], by: str
) -> None:
    """It has our form and not our signature: *try refresh token*, also where the session is optional."""
    for response in served(app, **{by: spoil(signed_in_apart(app))}):
        assert_response(response, 401, TRY_REFRESH)
        assert sets_no_tokens(response)


TOKENS: dict[int, str] = {}


def signed_in_apart(app: Flask) -> str:
    """A good access token, the same one for all tests of an app."""
    if id(app) not in TOKENS:
        with app.app_context():
            engine: Any = state_of(app).engine
            record = next(iter(engine.store._sessions.values()))
            parent = engine._refresh_tokens.mint(record.handle, 0, None)
            TOKENS[id(app)] = engine._minting.mint(record, parent, engine.now(), AS_SET)[0].raw
    return TOKENS[id(app)]


@pytest.mark.parametrize("spoil", [*FOREIGN.values(), *GENUINE_FORM.values()], ids=[*FOREIGN, *GENUINE_FORM])
@pytest.mark.parametrize("by", ["access", "refresh", "bearer"])
def test_garbage_at_the_refresh_route_is_unauthorised_and_cleared(
    app: Flask, state: None, spoil: Callable[[str], str], by: str
) -> None:
    """*Unauthorised*, both methods cleared, whichever way it comes."""
    response = call(app, "POST", "/refresh", **{by: spoil(signed_in_apart(app))})
    assert_response(response, 401, UNAUTHORISED)
    assert cleared_methods(response) == {"cookie", "header"}


@pytest.mark.parametrize("spoil", [*FOREIGN.values(), *GENUINE_FORM.values()], ids=[*FOREIGN, *GENUINE_FORM])
def test_a_placeholder_is_made_of_doubled_garbage(spoil: Callable[[str], str]) -> None:
    """Where older cookies are cleared, the placeholder is made of whatever is there."""
    app = an_app(older_cookie_domain="", cookie_domain="example.com")
    cookies = [f"sAccessToken={spoil(signed_in(app).access_token)}"] * 2
    response = call(app, "POST", "/refresh", cookies=cookies)
    assert (response.status_code, len(response.headers.getlist("front-token"))) == (200, 1)


@pytest.mark.parametrize("mode", ["VIA_TOKEN", "VIA_CUSTOM_HEADER"])
@pytest.mark.parametrize("spoil", GENUINE_FORM.values(), ids=GENUINE_FORM)
def test_a_tampered_token_is_refused_alike_in_every_anti_csrf_mode(mode: str, spoil: Callable[[str], str]) -> None:
    """The same response in every mode."""
    app = an_app(anti_csrf=mode)
    for value in ("x", "é\x01", ""):
        headers = {"anti-csrf": value, "rid": value}
        assert_response(
            call(app, "POST", "/me", access=spoil(signed_in(app).access_token), headers=headers), 401, TRY_REFRESH
        )


def test_a_token_expires_to_the_millisecond(app: Flask, state: None) -> None:
    """To the millisecond: the last one passes, the next does not."""
    fresh = an_app()
    access = signed_in(fresh).access_token
    clock_of(fresh).wait(HOUR - 1)
    assert call(fresh, "GET", "/me", access=access).status_code == 200
    clock_of(fresh).wait(1)
    assert_response(call(fresh, "GET", "/me", access=access), 401, TRY_REFRESH)


def test_tokens_do_not_stand_in_for_each_other() -> None:
    """Access token, refresh token, anti-CSRF token and a JWT for another service: each opens its own door only."""
    app = an_app()
    session = a_session(app, anti_csrf=True)
    with app.app_context():
        other = create_jwt(without(session.access_token_payload, "sessionHandle"), validity=60)
    access, refresh, anti_csrf = session.access_token, session.tokens.refresh_token, session.tokens.anti_csrf_token
    for token in (refresh, anti_csrf, other, access):
        assert call(app, "GET", "/me", access=token).status_code == (200 if token == access else 401)
    for token in (access, anti_csrf, other, refresh):
        assert call(app, "POST", "/refresh", refresh=token).status_code == (200 if token == refresh else 401)


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(algorithm: str) -> None:
    """HS256 under our public key, the classic confusion: foreign, whatever we sign with."""
    app = an_app(access_token_algorithm=algorithm)
    header, claims = contents(signed_in(app).access_token)
    pem = keys_of(state_of(app).engine)[0].public_pem
    signed = f"{encode_part({**header, 'alg': 'HS256'})}.{encode_part(claims)}"
    token = f"{signed}.{encode_part(hmac.new(pem.encode(), signed.encode(), hashlib.sha256).digest())}"
    assert_response(call(app, "GET", "/me", access=token), 401, UNAUTHORISED)


# -- headers and cookies -----------------------------------------------------------------------------------------------

RAW = [
    "=",
    ";",
    "sAccessToken",
    "sAccessToken==",
    'sAccessToken="',
    'sAccessToken="a.b.c"',
    "sAccessToken=%",
    "sAccessToken=%ff%fe",
    "sAccessToken=%00",
    "sAccessToken=\xff\xfe\x00\x01",
    "\x00=\x00; sAccessToken=\t",
    "sAccessToken=a=b=c==",
    "sAccessToken=" + "=" * 10_000,
    "; " * 50_000,
    "sIdRefreshToken=\xff; sRefreshToken=\xff",
    "sAccessToken=a; sAccessToken=a; sRefreshToken=b; sRefreshToken=b",
]


@pytest.mark.parametrize("cookie", RAW, ids=lambda raw: ascii(raw[:40]))
@pytest.mark.parametrize("path", ["/me", "/maybe", "/refresh", "/signout", "/login"])
def test_an_odd_cookie_header_raises_nothing(path: str, cookie: str) -> None:
    """Read or not, never an exception."""
    app = an_app(older_cookie_domain="", cookie_domain="example.com")
    response = call(app, "POST", path, environ_overrides={"HTTP_COOKIE": cookie})
    assert response.status_code in (200, 401)


@pytest.mark.parametrize(
    "name",
    ["Authorization", "st-auth-mode", "rid", "anti-csrf", "Origin", "Sec-Fetch-Site", "Content-Type", "fdi-version"],
)
@pytest.mark.parametrize(
    "value", ["", "\xff\xfe", "\x00\x01", "Bearer \xff", "x" * 100_000, "Bearer " + "." * 100_000, "[", "null"]
)
def test_an_odd_header_raises_nothing(app: Flask, name: str, value: str) -> None:
    """Never an exception."""
    key = name.upper().replace("-", "_")
    environ = {key if key == "CONTENT_TYPE" else f"HTTP_{key}": value}
    access = signed_in_apart(app)
    for path in ("/me", "/maybe", "/refresh", "/login"):
        assert call(app, "POST", path, access=access, environ_overrides=environ).status_code in (200, 401, 403)


@pytest.mark.parametrize(
    "key", ["CONTENT_TYPE", "HTTP_ORIGIN", "HTTP_RID", "HTTP_SEC_FETCH_MODE", "HTTP_SEC_FETCH_SITE"]
)
def test_a_server_says_none_where_a_header_is_missing(key: str) -> None:
    """Adapters of serverless platforms do. It is missing then: so is the marker against CSRF."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    for path in ("/me", "/refresh"):
        session = signed_in(app)
        cookies = {"access": session.access_token, "refresh": session.refresh_token}
        missing, none = (call(app, "POST", path, **cookies, environ_overrides=environ) for environ in ({}, {key: None}))
        assert (missing.status_code, none.status_code) == (401, 401)


@pytest.mark.parametrize("host", ["", "a b", "\xff", "[::1", "x" * 5000, "localhost:99999", "evil.com/path", "a@b"])
def test_an_odd_host_header_serves_no_session_to_a_foreign_origin(app: Flask, host: str) -> None:
    """No session is served to a foreign origin by it, and nothing breaks in ours."""
    for path in ("/me", "/refresh"):
        headers = {"Origin": "https://evil.com"}
        cookie = f"sAccessToken={signed_in_apart(app)}"
        environ = create_environ(path, method="POST", headers={**headers, "Cookie": cookie})
        _, status, answered = run_wsgi_app(app, {**environ, "HTTP_HOST": host})
        assert status[:3] in ("400", "403")
        assert "Set-Cookie" not in answered


@given(
    st.text(st.characters(codec="latin-1")),
    st.text(st.characters(codec="latin-1")),
    st.sampled_from(["/me", "/refresh"]),
)
def test_any_bytes_in_the_headers_get_a_response_of_ours(
    app: Flask, cookie: str, authorization: str, path: str
) -> None:
    """Whatever is in the two headers, the response is one of ours."""
    environ = {"HTTP_COOKIE": f"sAccessToken={cookie}", "HTTP_AUTHORIZATION": f"Bearer {authorization}"}
    response = call(app, "POST", path, environ_overrides=environ)
    assert response.json in (UNAUTHORISED, TRY_REFRESH) or "SUPERTOKENS_OLDER_COOKIE_DOMAIN" in response.text


# -- big and strange, but right ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("letter", ["漢", "😀", "é", '"', "\\", "\n", ";"], ids=spell)
def test_a_long_user_id_of_any_script_survives_sign_in_use_and_refresh(
    algorithm: str, letter: str, rsa_apps: dict[str, Flask]
) -> None:
    """255 characters fit a cookie session, through log-in, use and refresh."""
    app = rsa_apps[algorithm]
    user_id = letter * 255
    response = run(app, lambda: create_new_session(user_id).handle)
    tokens = set_cookies(response)
    assert call(app, "GET", "/me", access=tokens["sAccessToken"].value).json["user"] == user_id
    refreshed = set_cookies(call(app, "POST", "/refresh", refresh=tokens["sRefreshToken"].value))
    assert call(app, "GET", "/me", access=refreshed["sAccessToken"].value).json["user"] == user_id
    cookies = [*tokens.values(), *refreshed.values()]
    assert all(len(f"__Secure-{cookie.name}{cookie.value}") <= LIMIT for cookie in cookies)


@pytest.fixture(scope="module")
def rsa_apps() -> dict[str, Flask]:
    """An app for each algorithm; RSA keys take a while to make."""
    return {name: an_app(access_token_algorithm=name) for name in ("ES256", "EdDSA", "RS256")}


def payload_and_data() -> list[dict[str, Any]]:
    return [current_session.access_token_payload, current_session.get_data()]


def test_a_strange_payload_survives_sign_in_use_and_refresh() -> None:
    """Nested nulls, big integers, emoji and odd keys survive log-in, use and refresh."""
    payload = {"n": 2**70, "z": -(10**40), "x": [None, {"y": None, "": [[]]}], "e😀": "\u2028\0", "b": [True, 1.5]}
    app = an_app()
    response = run(app, lambda: create_new_session("u", payload, payload).handle)
    refreshed = call(app, "POST", "/refresh", refresh=set_cookies(response)["sRefreshToken"].value)
    for answer in (response, refreshed):
        access = set_cookies(answer)["sAccessToken"].value
        shown, data = run(app, payload_and_data, verified=True, access=access).json
        assert {name: shown[name] for name in payload} == data == payload


def test_a_payload_with_null_at_the_top_survives() -> None:
    """At creation ``None`` is a value; only a merge deletes by it."""
    session = a_session(an_app(), access_token_payload={"x": None})
    assert session.access_token_payload["x"] is None


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
def test_the_largest_payload_that_is_taken_makes_a_cookie_that_browsers_keep(algorithm: str, dynamic: bool) -> None:
    """The largest payload that is taken makes a cookie that browsers keep, also after a refresh and with a prefix."""
    app = an_app(access_token_algorithm=algorithm, use_dynamic_signing_key=dynamic)
    fits, too_large = 0, LIMIT
    while too_large - fits > 1:
        middle = (fits + too_large) // 2
        fits, too_large = (middle, too_large) if is_taken(app, middle) else (fits, middle)
    tokens = signed_in(app, access_token_payload={"x": "y" * fits})
    refreshed = set_cookies(call(app, "POST", "/refresh", refresh=tokens.refresh_token))["sAccessToken"].value
    sizes = [len("__Secure-sAccessToken" + token) for token in (tokens.access_token, refreshed)]
    assert LIMIT - 150 < max(sizes) <= LIMIT


def is_taken(app: Flask, size: int) -> bool:
    try:
        a_session(app, access_token_payload={"x": "y" * size})
    except ValueError:
        return False
    return True


LARGE = {"x": "y" * 5000}


def test_a_payload_too_large_at_sign_in_raises_and_leaves_the_old_session() -> None:
    """A ValueError with bytes and limit; the session that was there goes on and the response is not half written."""
    app = an_app()

    def view() -> str:
        with pytest.raises(ValueError, match=r"would have \d{4,} bytes; a cookie holds 40\d\d"):
            create_new_session("new", LARGE)
        return current_session.user_id

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert (response.json, sets_no_tokens(response)) == ("user-1", True)
    assert (len(handles(app)), handles(app, "new")) == (1, [])


MERGES: dict[str, Callable[[Session], Any]] = {
    "by session": lambda session: session.merge_into_access_token_payload(LARGE),
    "by handle": lambda session: merge_into_access_token_payload(session.handle, LARGE),
}


@pytest.mark.parametrize("merge", MERGES.values(), ids=MERGES)
def test_a_payload_too_large_at_a_merge_raises_and_leaves_the_old_payload(merge: Callable[[Session], Any]) -> None:
    """A ValueError with bytes and limit; the old payload is kept, in the store and in the session."""
    app = an_app()

    def view() -> Any:
        with pytest.raises(ValueError, match=r"would have \d{4,} bytes; a cookie holds 40\d\d"):
            merge(current_session)
        return [
            current_session.access_token_payload.get("x"),
            current_session.get_information().access_token_payload.get("x"),
        ]

    response = run(app, view, verified=True, access=signed_in(app, access_token_payload={"x": "old"}).access_token)
    assert (response.json, sets_no_tokens(response)) == (["old", "old"], True)


@pytest.mark.parametrize("value", [{1}, float("inf"), "\ud800", object(), b"x"], ids=spell)
@pytest.mark.parametrize("what", ["merge", "data"])
def test_a_change_that_is_not_json_raises_and_changes_nothing(what: str, value: Any) -> None:
    """A ValueError; nothing is changed."""
    app = an_app()
    session = a_session(app, access_token_payload={"x": "old"}, session_data={"x": "old"})
    change = session.merge_into_access_token_payload if what == "merge" else session.replace_data
    with app.app_context():
        with pytest.raises(ValueError, match="must be JSON"):
            change({"x": value})
        information = session.get_information()
    assert (information.access_token_payload["x"], information.session_data) == ("old", {"x": "old"})


@pytest.mark.parametrize("claims", [{"antiCsrfToken": "\ud800"}, {"sub": "\ud800"}, {"exp": 1e308}, {"z": "\udfff"}])
@pytest.mark.parametrize("path", ["/act", "/refresh"])
def test_forged_tokens_that_utf8_and_json_cannot_hold_are_refused(claims: dict[str, Any], path: str) -> None:
    """They are refused, in every mode, and duplicated ones too."""
    app = an_app_with_users(SUPERTOKENS_ANTI_CSRF="VIA_TOKEN", SUPERTOKENS_OLDER_COOKIE_DOMAIN="old.example")
    app.post("/act")(verify_session(lambda: ""))
    token = forged_with(**claims)
    for cookie in (f"sAccessToken={token}", f"sAccessToken={token}; sAccessToken={token}; sRefreshToken=x"):
        headers = {"Cookie": cookie, "anti-csrf": "x"}
        assert app.test_client(use_cookies=False).post(path, headers=headers).status_code in (200, 401)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
def test_the_largest_payload_that_is_accepted_fits_a_cookie(algorithm: str, dynamic: bool) -> None:
    """Also after a refresh, which adds a parent's hash."""
    app = an_app_with_users(SUPERTOKENS_ACCESS_TOKEN_ALGORITHM=algorithm, SUPERTOKENS_USE_DYNAMIC_SIGNING_KEY=dynamic)
    with app.test_request_context("/", method="POST"):
        for size in range(3000, 0, -1):
            try:
                session = create_new_session("u", {"x": "a" * size})
                break
            except ValueError:
                continue
        refreshed = flask_supertokens.refresh_session_without_request(session.tokens.refresh_token or "")
    assert 4000 < len("sAccessToken" + refreshed.access_token) <= 4096


OURS = frozenset({"ES256"})


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "EdDSA"])
def test_a_token_of_another_algorithm_than_the_setting_s_is_foreign(algorithm: str) -> None:
    """The settings name it; a token of another one is foreign."""
    app = an_app()
    header, claims = contents(signed_in(app).access_token)
    token = f"{encode_part({**header, 'alg': algorithm})}.{encode_part(claims)}."
    assert_response(call(app, "GET", "/me", access=token), 401, UNAUTHORISED)


def test_a_token_of_another_kind_is_foreign_and_no_payload_can_claim_it() -> None:
    """``stt`` other than 0 is an OAuth token; a payload can't claim it."""
    assert parse_access_token(forge({**CLAIMS, "stt": 1}), OURS) is None
    assert "stt" in PROTECTED_NAMES
    with pytest.raises(ValueError, match="stt"):
        a_session(an_app(), access_token_payload={"stt": 1})
