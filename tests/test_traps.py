"""Traps that other SDKs fall into, by their numbers; those of claims and of cores are not here."""

from __future__ import annotations

import hmac
import logging
import pathlib
import socket
import subprocess
import sys
from typing import Any, NoReturn

import pytest
from flask import Flask

import flask_supertokens
from flask_supertokens import (
    SuperTokens,
    TokenTheftError,
    UnauthorisedError,
    create_new_session,
    current_session,
    get_session,
    verify_session,
)
from flask_supertokens.protocol import tokens
from flask_supertokens.protocol.payloads import PROTECTED_NAMES
from flask_supertokens.protocol.tokens import LEGACY_HEADERS, parse_access_token
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import set_cookies
from .support.engines import CountingStore
from .support.threads import at_once
from .support.wire import (
    CLAIMS,
    HEADER,
    SECRET,
    TRY_REFRESH,
    UNAUTHORISED,
    BrokenStore,
    a_session,
    add,
    an_app,
    asserted_answer,
    call,
    cleared,
    contents,
    encoded,
    forged,
    front,
    handles,
    run,
    signed_in,
    state_of,
    untouched,
    without,
)

OURS = frozenset({"ES256"})


def test_d1_a_refresh_has_both_tokens() -> None:
    """The other method is cleared first, then the new tokens are set: ``front-token`` and ``anti-csrf`` survive."""
    app = an_app(anti_csrf="VIA_TOKEN", token_transfer_method="cookie")
    issued = signed_in(app, anti_csrf=True)
    headers = {"anti-csrf": str(issued.anti_csrf_token)}
    response = call(app, "POST", "/refresh", refresh=issued.refresh_token, bearer="other", headers=headers)
    assert (cleared(response), front(response)["uid"]) == ({"header"}, "user-1")
    assert response.headers["anti-csrf"] == issued.anti_csrf_token


def test_d2_a_view_raises_after_it_made_a_session() -> None:
    """A clearing event cancels pending sets."""

    def view() -> NoReturn:
        create_new_session("user-1")
        raise UnauthorisedError("no")

    response = run(an_app(), view)
    assert cleared(response) == {"cookie", "header"}
    assert all(cookie.cleared for cookie in set_cookies(response).values())


def test_d3_the_first_visitor_comes_from_elsewhere() -> None:
    """SameSite and anti-CSRF mode come from the settings, once, never from a request."""
    app = an_app()
    before = state_of(app).settings
    headers = {"Origin": "https://evil.com", "Referer": "https://evil.com/", "Host": "other.example"}
    response = call(app, "POST", "/login", headers=headers)
    assert {cookie.same_site for cookie in set_cookies(response).values()} == {"Lax"}
    assert state_of(app).settings is before
    assert before.anti_csrf == "NONE"


def test_d4_requests_share_a_view() -> None:
    """Eight users at once on one view: each is served as who it is."""
    app = add(an_app(), verify_session(lambda: current_session.user_id))
    users = {f"user-{number}": signed_in(app, f"user-{number}").access_token for number in range(8)}

    def serve(number: int) -> bool:
        answers = [call(app, "GET", "/view", access=users[f"user-{number}"]).text for _ in range(10)]
        return answers == [f"user-{number}"] * 10

    assert all(at_once(8, serve))


def test_d5_a_preflight_asks_a_protected_view() -> None:
    """OPTIONS is answered, TRACE refused, and the view does not run."""
    app = an_app()
    app.add_url_rule(
        "/view", view_func=verify_session(lambda: "in"), methods=["OPTIONS", "TRACE"], provide_automatic_options=False
    )
    responses = [call(app, method, "/view") for method in ("OPTIONS", "TRACE")]
    assert [response.status_code for response in responses] == [200, 405]
    assert "in" not in [response.text for response in responses]


def test_d6_an_app_renders_an_error_itself() -> None:
    """Its handler is asked, and the tokens are cleared all the same."""
    app = an_app()
    app.register_error_handler(UnauthorisedError, lambda error: ("mine", 418))
    response = call(app, "POST", "/refresh", refresh="garbage")
    assert (response.status_code, response.text, cleared(response)) == (418, "mine", {"cookie", "header"})


def test_d7_an_event_loop_is_running() -> None:
    """Plain synchronous code: sessions work inside a loop and start none."""
    import asyncio

    app = an_app()
    access = signed_in(app).access_token

    async def inside() -> int:
        return call(app, "GET", "/me", access=access).status_code

    assert asyncio.run(inside()) == 200
    source = pathlib.Path(flask_supertokens.__file__).parent
    assert not [path for path in source.rglob("*.py") if "asyncio" in path.read_text()]


def test_d8_a_session_is_made() -> None:
    """One write and no look-up of users, whoever they are."""
    store = CountingStore()
    app = an_app(store)
    signed_in(app)
    store.counted()
    call(app, "POST", "/login")
    assert store.counted() == {"add": 1}


def test_d9_a_request_has_nothing_to_do_with_sessions() -> None:
    """No work: nothing is kept on the request, no store is asked, the response is left alone."""
    store = CountingStore()
    app = an_app(store)
    kept: list[str] = []

    def view() -> str:
        from flask import request

        kept.extend(name for name in vars(request._get_current_object()) if "supertokens" in name)  # type: ignore[attr-defined]
        return "plain"

    response = call(add(app, view), "GET", "/view", access="garbage", cookies=["sIdRefreshToken=x"])
    assert (response.text, kept, store.counted(), untouched(response)) == ("plain", [], {}, True)
    assert app.before_request_funcs == {}


def test_d10_random_key_ids_arrive() -> None:
    """A hundred of them read the keys once."""
    store = CountingStore()
    app = an_app(store)
    signed_in(app)
    state_of(app).engine.clock.wait(10_000)  # type: ignore[attr-defined]
    store.counted()
    for number in range(100):
        asserted_answer(
            call(app, "GET", "/me", access=forged(header={**HEADER, "kid": f"d-{number}"})), 401, TRY_REFRESH
        )
    assert store.counted() == {"keys": 1}


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "EdDSA"])
def test_d13_a_token_names_its_algorithm(algorithm: str) -> None:
    """The settings name it; a token of another one is foreign."""
    app = an_app()
    header, claims = contents(signed_in(app).access_token)
    token = f"{encoded({**header, 'alg': algorithm})}.{encoded(claims)}."
    asserted_answer(call(app, "GET", "/me", access=token), 401, UNAUTHORISED)


@pytest.mark.parametrize("version", ["4", "5"])
def test_d14_the_tenant_is_missing(version: str) -> None:
    """``tId`` is required in version 4 and 5."""
    header = {**HEADER, "version": version}
    assert parse_access_token(forged(without(CLAIMS, "tId"), header), OURS) is None
    assert parse_access_token(forged(CLAIMS, header), OURS) is not None


def test_d15_a_token_is_of_another_kind() -> None:
    """``stt`` other than 0 is an OAuth token; a payload can't claim it."""
    assert parse_access_token(forged({**CLAIMS, "stt": 1}), OURS) is None
    assert "stt" in PROTECTED_NAMES
    with pytest.raises(ValueError, match="stt"):
        a_session(an_app(), access_token_payload={"stt": 1})


def test_d16_an_old_token_counts_in_milliseconds() -> None:
    """Versions 1 and 2 are answered with *try refresh token*; one unit inside."""
    app = an_app()
    claims = encoded({"userId": "u", "expiryTime": 99_999_999_999_999, "sessionHandle": "h", "refreshTokenHash1": "x"})
    for header in LEGACY_HEADERS:
        asserted_answer(call(app, "GET", "/me", access=f"{header}.{claims}.s"), 401, TRY_REFRESH)


def test_d18_a_payload_is_changed_by_its_caller() -> None:
    """It is copied on the way in and on the way out."""
    payload: dict[str, Any] = {"roles": ["user"]}
    session = a_session(an_app(), access_token_payload=payload, session_data=payload)
    payload["roles"].append("admin")
    session.access_token_payload["roles"].append("root")
    assert session.access_token_payload["roles"] == ["user"]
    assert payload == {"roles": ["user", "admin"]}


def test_d20_a_session_is_only_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a token seen before nothing is parsed and nothing serialised."""
    app = add(an_app(), verify_session(lambda: current_session.user_id))
    access = signed_in(app).access_token
    call(app, "GET", "/view", access=access)
    monkeypatch.setattr(tokens, "json", None)
    monkeypatch.setattr(tokens, "base64", None)
    assert call(app, "GET", "/view", access=access).text == "user-1"


def test_d22_the_store_fails() -> None:
    """An error of our own, 503, and its text in the log only."""
    store = BrokenStore()
    app = an_app(store)
    store.down = True
    response = call(app, "POST", "/refresh", refresh=signed_in_elsewhere())
    assert (response.status_code, "disk" in response.text) == (503, False)


def signed_in_elsewhere() -> str:
    """A refresh token under the same key."""
    return str(signed_in(an_app()).refresh_token)


def test_d23_a_second_app_starts() -> None:
    """Its settings are its own; no state is in a module."""
    one, two = an_app(api_base_path="/one"), an_app(api_base_path="/two")
    assert state_of(one).settings.refresh_path == "/one/session/refresh"
    assert state_of(two).settings.refresh_path == "/two/session/refresh"
    assert state_of(one).engine is not state_of(two).engine


def test_d24_the_package_is_imported() -> None:
    """Slow libraries are loaded where they are used."""
    code = (
        "import flask_supertokens, sys; print(sorted({'sqlalchemy', 'psycopg', 'publicsuffixlist'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "[]\n"


def test_d25_sites_are_compared_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The public suffix list comes with the extra."""

    def refuse(*_: Any) -> NoReturn:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    config = {
        "SECRET_KEY": SECRET,
        "SUPERTOKENS_API_DOMAIN": "https://api.example.co.uk",
        "SUPERTOKENS_WEBSITE_DOMAIN": "https://www.example.co.uk",
    }
    assert read_settings(config).cookie_same_site == "lax"


def test_d26_the_logger_is_left_to_the_app() -> None:
    """A NullHandler at most, no level, nothing on the root."""
    code = (
        "import logging, flask_supertokens; ours = logging.getLogger('flask_supertokens');"
        "print([type(h).__name__ for h in ours.handlers if type(h) is not logging.NullHandler],"
        " logging.getLogger().handlers, ours.level, ours.propagate)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == f"[] [] {logging.NOTSET} True\n"


def test_d27_no_middleware_is_installed() -> None:
    """`init_app` does all: tokens leave, and a hook has the request's context."""
    app = Flask("plain")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app, store=MemoryStore())
    app.before_request(lambda: create_new_session("guest") and None)
    app.add_url_rule("/view", view_func=lambda: str(get_session().user_id))  # type: ignore[union-attr]
    response = call(app, "GET", "/view")
    assert (response.text, len(set_cookies(response))) == ("guest", 2)


def test_d28_two_sessions_are_handled_in_one_request() -> None:
    """One plan: the later operation wins, and only one session's tokens leave."""
    app = an_app()

    def view() -> None:
        create_new_session("first")
        create_new_session("second").merge_into_access_token_payload({"x": 1})

    up = front(run(app, view))["up"]
    assert (up["sub"], up["x"]) == ("second", 1)
    assert (handles(app, "first"), handles(app, "second")) == ([], [up["sessionHandle"]])


def test_d29_answers_are_not_cached_and_secrets_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """``no-store`` on what sets or clears; ``hmac.compare_digest`` for the anti-CSRF token."""
    app = an_app(anti_csrf="VIA_TOKEN")
    compared: list[bytes] = []
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: (compared.append(b), a == b)[1])
    issued = signed_in(app, anti_csrf=True)
    call(app, "POST", "/me", access=issued.access_token, headers={"anti-csrf": "wrong"})
    call(app, "POST", "/refresh", refresh=issued.refresh_token, headers={"anti-csrf": "wrong too"})
    assert {b"wrong", b"wrong too"} <= set(compared)
    for path in ("/login", "/refresh"):
        assert call(app, "POST", path).headers["Cache-Control"] == "no-store"


def test_d30_doubled_cookies_have_equal_signs() -> None:
    """Pairs are split at the first ``=`` only."""
    cookies = ["sAccessToken=a=b", "sAccessToken=a=b"]
    assert call(an_app(), "POST", "/refresh", cookies=cookies).status_code == 500
    asserted_answer(call(an_app(), "GET", "/me", cookies=cookies), 401, TRY_REFRESH)


def test_d31_a_cookie_is_written_many_times() -> None:
    """One line a cookie, each header name once."""
    app = an_app(expose_access_token=True)

    def view() -> None:
        session = create_new_session("user-1")
        for number in range(3):
            session.merge_into_access_token_payload({"x": number})

    response = run(app, view, bearer="other")
    assert set(set_cookies(response)) == {"sAccessToken", "sRefreshToken"}
    names = response.headers["Access-Control-Expose-Headers"].split(", ")
    assert len(names) == len(set(names)) == len(response.headers.getlist("front-token")) + 2


def test_d32_payloads_are_merged_at_once() -> None:
    """Eight merges by handle: none is lost."""
    app = an_app()
    handle = a_session(app).handle
    engine = state_of(app).engine
    assert all(at_once(8, lambda n: engine.merge_payload(handle, {f"x{n}": n})))
    information = engine.information(handle)
    assert information is not None
    assert {name for name in information.access_token_payload if name.startswith("x")} == {f"x{n}" for n in range(8)}


def test_d33_a_handler_of_the_apps_forgets_to_revoke() -> None:
    """It was done before the handler was called; one that fails leaves the answer as it is."""
    app = an_app()
    handle = a_session(app).handle
    seen: list[list[str]] = []
    app.register_error_handler(TokenTheftError, lambda error: (seen.append(handles(app)), ("", 401))[1])

    def view() -> NoReturn:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    assert run(app, view).status_code == 401
    assert seen == [[]]


def test_d34_settings_are_wrong() -> None:
    """The app does not start."""
    app = Flask("wrong")
    app.config.update(SECRET_KEY=SECRET, SUPERTOKENS_ANTI_CSRF="sometimes")
    with pytest.raises(ValueError, match="SUPERTOKENS_ANTI_CSRF = 'sometimes': use one of"):
        SuperTokens(app)
