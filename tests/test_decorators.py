"""`verify_session`: where it can stand, in which order it checks, which token counts, and who may send it."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask, render_template_string
from flask.typing import ResponseReturnValue
from flask.views import MethodView, View
from werkzeug.test import TestResponse

from flask_supertokens import (
    TryRefreshTokenError,
    UnauthorisedError,
    create_new_session,
    current_session,
    get_session,
    revoke_session,
    verify_session,
)
from flask_supertokens.protocol.tokens import LEGACY_HEADERS

from .support.cookies import set_cookies
from .support.names import spelled
from .support.wire import (
    TRY_REFRESH,
    UNAUTHORISED,
    a_session,
    add,
    an_app,
    asserted_answer,
    call,
    cleared,
    clock_of,
    forged,
    front,
    handed_out,
    signed_in,
    state_of,
    untouched,
)

FOREIGN = {"message": "cross-site request refused"}
HOUR = 3_600_000


def user() -> dict[str, Any]:
    return {"user": current_session.user_id}


async def user_async() -> dict[str, Any]:
    return user()


class Page(MethodView):
    decorators: ClassVar = [verify_session]

    def get(self) -> ResponseReturnValue:
        return user()


class OldPage(View):
    decorators: ClassVar = [verify_session(session_required=True)]

    def dispatch_request(self) -> ResponseReturnValue:
        return user()


# -- where it stands ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "view",
    [
        verify_session(user),
        verify_session()(user),
        verify_session(session_required=True)(user),
        verify_session(user_async),
        verify_session(check_database=True)(user_async),
        Page.as_view("page"),
        OldPage.as_view("page"),
    ],
    ids=["bare", "parentheses", "arguments", "async", "async, arguments", "MethodView", "View"],
)
def test_a_view_is_decorated(view: Any) -> None:
    """With a session it runs, without one it does not."""
    app = an_app()
    app.add_url_rule("/view", view_func=view)
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == {"user": "user-1"}
    asserted_answer(call(app, "GET", "/view"), 401, UNAUTHORISED)


def test_a_decorated_view_keeps_its_name() -> None:
    """Endpoints are named after functions."""
    assert (verify_session(user).__name__, verify_session()(user_async).__name__) == ("user", "user_async")


def test_a_view_takes_arguments() -> None:
    """They are handed through."""
    app = an_app()
    app.add_url_rule("/items/<int:item>", view_func=verify_session(lambda item: {"item": item}))
    assert call(app, "GET", "/items/5", access=signed_in(app).access_token).json == {"item": 5}


def guarded_app() -> Flask:
    """Every request of this app needs a session."""
    app = an_app()

    @app.before_request
    @verify_session
    def guard() -> None:
        pass

    return add(app, user)


def test_every_request_is_guarded() -> None:
    """The decorated function runs before each view, and the session is the view's."""
    app = guarded_app()
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == {"user": "user-1"}
    asserted_answer(call(app, "GET", "/view"), 401, UNAUTHORISED)
    assert call(app, "OPTIONS", "/view").status_code == 200


def test_a_blueprint_is_guarded() -> None:
    """Only its own requests are."""
    app, blueprint = an_app(), Blueprint("admin", __name__, url_prefix="/admin")
    blueprint.before_request(verify_session(lambda: None))
    blueprint.add_url_rule("/view", view_func=user)
    app.register_blueprint(blueprint)
    assert call(app, "GET", "/admin/view").status_code == 401
    assert call(app, "GET", "/maybe").status_code == 200
    assert call(app, "GET", "/admin/view", access=signed_in(app).access_token).json == {"user": "user-1"}


def test_the_decorator_itself_is_put_before_every_request() -> None:
    """A TypeError shows the right form; no view runs unguarded."""
    app = add(an_app(TESTING=True), lambda: "open", "/view")
    app.before_request(verify_session)
    with pytest.raises(TypeError, match=r"@app\.before_request\s+@verify_session\s+def guard"):
        call(app, "GET", "/view")
    app.testing = False
    assert call(app, "GET", "/view").status_code == 500


@pytest.mark.parametrize("what", [Page, "text", 5, False, []], ids=spelled)
def test_something_else_than_a_view_is_decorated(what: Any) -> None:
    """A TypeError shows the right forms, at once."""
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session(what)
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session()(what)


# -- OPTIONS and TRACE -------------------------------------------------------------------------------------------------


ASKED = ["GET", "POST", "OPTIONS", "TRACE"]


class Everything(View):
    methods: ClassVar = ASKED
    decorators: ClassVar = [verify_session]

    def dispatch_request(self) -> ResponseReturnValue:
        return secret()


class Options(MethodView):
    decorators: ClassVar = [verify_session]

    def options(self) -> ResponseReturnValue:
        return secret()

    def trace(self) -> ResponseReturnValue:
        return secret()

    get = post = options


def secret() -> ResponseReturnValue:
    return "secret", {"X-Secret": "1"}


async def secret_async() -> ResponseReturnValue:
    return secret()


def answering(view: Any, guard: Any = None) -> Flask:
    """An app whose view is asked for OPTIONS and TRACE itself, behind a guard or not."""
    app = an_app()
    app.after_request(lambda response: response.headers.update({"X-After": "1"}) or response)
    if guard is not None:
        app.before_request(guard)
    app.add_url_rule("/view", "view", view, methods=None if hasattr(view, "view_class") else ASKED)
    return app


VIEWS = pytest.mark.parametrize(
    ("view", "guard"),
    [
        (verify_session(secret), None),
        (verify_session(check_database=True)(secret_async), None),
        (Everything.as_view("view"), None),
        (Options.as_view("view"), None),
        (secret, verify_session(lambda: None)),
        (secret, verify_session(user)),
    ],
    ids=["function", "async", "View", "MethodView", "guard", "guard that asks who is there"],
)
TOKENS: list[dict[str, Any]] = [{}, {"access": "garbage"}, {"access": forged(), "cookies": ["sIdRefreshToken=x"]}]


@VIEWS
@pytest.mark.parametrize("tokens", TOKENS, ids=["none", "garbage", "forged"])
def test_a_protected_view_is_asked_for_its_options(view: Any, guard: Any, tokens: dict[str, Any]) -> None:
    """The response is Flask's own, and the app's ``after_request`` runs; the view does not, whatever comes along."""
    app = answering(view, guard)
    response = call(app, "OPTIONS", "/view", **tokens)
    assert (response.status_code, response.text, response.headers["X-After"]) == (200, "", "1")
    assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}
    assert "X-Secret" not in response.headers
    assert untouched(response)


@VIEWS
def test_a_protected_view_is_traced(view: Any, guard: Any) -> None:
    """405 with the methods that there are, with a session as without one."""
    app = answering(view, guard)
    for access in (None, signed_in(app).access_token):
        response = call(app, "TRACE", "/view", access=access)
        assert (response.status_code, "X-Secret" in response.headers, response.headers["X-After"]) == (405, False, "1")
        assert set(response.allow) == {"GET", "HEAD", "POST", "OPTIONS"}


@VIEWS
def test_a_protected_view_that_has_options_runs(view: Any, guard: Any) -> None:
    """With a session, for what needs one; else 401."""
    app = answering(view, guard)
    assert call(app, "GET", "/view").status_code == 401
    response = call(app, "POST", "/view", access=signed_in(app).access_token)
    assert (response.status_code, "X-Secret" in response.headers) == (200, guard is None or guard.__name__ != "user")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("OPTIONS", "/auto", 200),
        ("TRACE", "/auto", 405),
        ("OPTIONS", "/nowhere", 404),
        ("OPTIONS", "/refresh", 200),
        ("OPTIONS", "/static/x", 200),
    ],
)
def test_flask_answers_behind_a_guard(method: str, path: str, status: int) -> None:
    """As if there were none."""
    bare, guarded = an_app(), guarded_app()
    for app in (bare, guarded):
        app.add_url_rule("/auto", "auto", secret)
    answers = [call(app, method, path) for app in (bare, guarded)]
    assert [(answer.status_code, answer.data, list(answer.headers)) for answer in answers] == [
        (status, answers[0].data, list(answers[0].headers))
    ] * 2


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_a_view_that_needs_no_session_is_asked_for_its_options(method: str) -> None:
    """It runs, as it does without a session."""
    app = answering(verify_session(session_required=False)(lambda: f"{bool(current_session)}"))
    for access in (None, "garbage", forged()):
        assert call(app, method, "/view", access=access).text == "False"


# -- current_session ---------------------------------------------------------------------------------------------------


def test_nothing_was_verified() -> None:
    """`current_session` is falsy and names the decorator when something is asked of it; in a view, and outside of one."""
    with an_app().test_request_context():
        assert not current_session
        with pytest.raises(RuntimeError, match="@verify_session"):
            _ = current_session.user_id
    assert not current_session
    with pytest.raises(RuntimeError, match="@verify_session"):
        current_session.revoke()


def test_an_optional_session_is_not_there() -> None:
    """The view runs, `current_session` is falsy."""
    app = an_app()
    app.add_url_rule("/view", view_func=verify_session(session_required=False)(lambda: str(bool(current_session))))
    assert call(app, "GET", "/view").text == "False"
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


@pytest.mark.parametrize("required", [True, False])
def test_a_template_asks_who_is_there(required: bool) -> None:
    """`current_session` is known in Jinja."""
    template = "{% if current_session %}{{ current_session.user_id }}{% else %}nobody{% endif %}"
    app = an_app()
    add(app, verify_session(session_required=required)(lambda: render_template_string(template)))
    add(app, lambda: render_template_string(template), "/open")
    access = signed_in(app).access_token
    assert call(app, "GET", "/view", access=access).text == "user-1"
    assert call(app, "GET", "/open", access=access).text == "nobody"


def test_a_session_is_revoked_in_the_view() -> None:
    """`current_session` is unset, and `get_session` finds nothing any more."""

    def view() -> ResponseReturnValue:
        current_session.revoke()
        return [bool(current_session), get_session(session_required=False)]

    app = add(an_app(), verify_session(view))
    assert call(app, "GET", "/view", access=signed_in(app).access_token).json == [False, None]


def test_a_session_is_asked_for_twice() -> None:
    """One request has one `Session`."""
    app = add(
        an_app(), verify_session(lambda: str(get_session() is get_session() is current_session._get_current_object()))
    )
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


# -- which token counts ------------------------------------------------------------------------------------------------

TABLE = [
    ("any", False, False, None),
    ("any", False, True, "cookie"),
    ("any", True, False, "header"),
    ("any", True, True, "header"),
    ("header", False, False, None),
    ("header", False, True, None),
    ("header", True, False, "header"),
    ("header", True, True, "header"),
    ("cookie", False, False, None),
    ("cookie", False, True, "cookie"),
    ("cookie", True, False, None),
    ("cookie", True, True, "cookie"),
]


def presented(app: Flask, path: str, in_header: bool, in_cookie: bool, wait: int = 0) -> TestResponse:
    """A request with the tokens of two users, one by each method."""
    header, cookie = signed_in(app, "header").access_token, signed_in(app, "cookie").access_token
    clock_of(app).wait(wait)
    return call(app, "GET", path, bearer=header if in_header else None, access=cookie if in_cookie else None)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize(("allowed", "in_header", "in_cookie", "who"), TABLE)
def test_tokens_are_presented(path: str, allowed: str, in_header: bool, in_cookie: bool, who: str | None) -> None:
    """Of the methods that are allowed the header wins; no token is None where the session is optional, else 401."""
    response = presented(an_app(token_transfer_method=allowed), path, in_header, in_cookie)
    if who is None and path == "/me":
        asserted_answer(response, 401, UNAUTHORISED)
    else:
        assert response.json == {"user": who, "method": who}
    assert untouched(response)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
@pytest.mark.parametrize(("allowed", "in_header", "in_cookie", "who"), TABLE)
def test_expired_tokens_are_presented(
    path: str, allowed: str, in_header: bool, in_cookie: bool, who: str | None
) -> None:
    """Every token that counts becomes *try refresh token*, also where the session is optional; nothing is cleared."""
    response = presented(an_app(token_transfer_method=allowed), path, in_header, in_cookie, wait=HOUR)
    if who is not None:
        asserted_answer(response, 401, TRY_REFRESH)
    else:
        assert response.status_code == (401 if path == "/me" else 200)
    assert untouched(response)


@pytest.mark.parametrize(
    "foreign", ["garbage", "a.b.c", forged({"sub": "x"}), forged(header={"alg": "RS256", "typ": "JWT"})]
)
def test_a_foreign_bearer_token_is_presented(foreign: str) -> None:
    """It counts as absent: the cookie session beside it is served."""
    app = an_app()
    access = signed_in(app).access_token
    assert call(app, "GET", "/me", bearer=foreign, access=access).json == {"user": "user-1", "method": "cookie"}
    asserted_answer(call(app, "GET", "/me", bearer=foreign), 401, UNAUTHORISED)
    assert call(app, "GET", "/maybe", bearer=foreign).json["user"] is None


@pytest.mark.parametrize("legacy", LEGACY_HEADERS)
@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_a_token_of_an_old_version_is_presented(path: str, legacy: str) -> None:
    """Versions 1 and 2 are old sessions, not foreign tokens: *try refresh token*, by either method."""
    app = an_app()
    asserted_answer(call(app, "GET", path, access=f"{legacy}.e30=.s"), 401, TRY_REFRESH)
    asserted_answer(call(app, "GET", path, bearer=f"{legacy}.e30=.s"), 401, TRY_REFRESH)


@pytest.mark.parametrize("path", ["/me", "/maybe"])
def test_an_old_sdk_left_its_cookie(path: str) -> None:
    """*Try refresh token*, before anything else is looked at; nothing is cleared."""
    app = an_app()
    response = call(app, "GET", path, access=signed_in(app).access_token, cookies=["sIdRefreshToken=x"])
    asserted_answer(response, 401, TRY_REFRESH)
    assert untouched(response)


@pytest.mark.parametrize("values", [("a", "b"), ("a=1", "b=1"), ('"a"', "a")])
def test_two_access_cookies_are_presented(values: tuple[str, str]) -> None:
    """*Try refresh token*; a header token is not concerned."""
    app = an_app()
    cookies = [f"sAccessToken={value}" for value in values]
    asserted_answer(call(app, "GET", "/maybe", cookies=cookies), 401, TRY_REFRESH)
    bearer = signed_in(app).access_token
    assert call(app, "GET", "/me", cookies=cookies, bearer=bearer).json["method"] == "header"
    by_header = an_app(token_transfer_method="header")
    assert call(by_header, "GET", "/maybe", cookies=cookies).json["user"] is None


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            {"cookies": ["sIdRefreshToken=x", "sAccessToken=a", "sAccessToken=b"]},
            "using legacy session, please call the refresh API",
        ),
        ({"cookies": ["sAccessToken=a", "sAccessToken=b"]}, "Multiple access tokens present in the request cookies."),
        ({"cookies": [f"sAccessToken={forged()}"]}, "The rid header is missing (anti-CSRF)."),
    ],
)
def test_several_things_are_wrong(problem: dict[str, Any], message: str) -> None:
    """The first check that fails names the reason: legacy cookie, duplicates, anti-CSRF, and only then the signature."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    seen: list[TryRefreshTokenError] = []
    app.register_error_handler(TryRefreshTokenError, lambda error: (seen.append(error), ("", 401))[1])
    call(app, "POST", "/me", **problem)
    assert [error.description for error in seen] == [message]


def test_there_is_no_token() -> None:
    """Nothing is cleared: the request may race with a refresh."""
    app = an_app()
    response = call(app, "GET", "/me", refresh=signed_in(app).refresh_token)
    asserted_answer(response, 401, UNAUTHORISED)
    assert untouched(response)


# -- what the engine says ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by_setting", [True, False])
def test_a_session_has_ended(by_setting: bool) -> None:
    """A view that asks the database answers *unauthorised* and clears; others go on until the token expires."""
    app = an_app(check_database=by_setting)
    add(app, verify_session(check_database=None if by_setting else True)(user))
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    response = call(app, "GET", "/view", access=session.access_token)
    asserted_answer(response, 401, UNAUTHORISED)
    assert cleared(response) == {"cookie", "header"}
    if not by_setting:
        assert call(app, "GET", "/me", access=session.access_token).status_code == 200


def test_a_view_turns_the_database_check_off() -> None:
    """The argument beats the setting."""
    app = add(an_app(check_database=True), verify_session(check_database=False)(user))
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    assert call(app, "GET", "/view", access=session.access_token).status_code == 200


@pytest.mark.parametrize("method", ["cookie", "header"])
def test_the_payload_was_changed_meanwhile(method: str) -> None:
    """A view that asks the database hands out a new access token, by the method of the request, and no refresh token."""
    app = add(an_app(), verify_session(check_database=True)(lambda: current_session.access_token_payload))
    session = a_session(app)
    state_of(app).engine.merge_payload(session.handle, {"role": "admin"})
    clock_of(app).wait(5000)
    response = call(app, "GET", "/view", **{"access" if method == "cookie" else "bearer": session.access_token})
    assert response.json["role"] == "admin"
    assert handed_out(response) == {method}
    assert front(response)["up"]["iat"] == clock_of(app)() // 1000
    assert "sRefreshToken" not in set_cookies(response)
    assert "st-refresh-token" not in response.headers


def test_a_session_is_asked_for_again_with_the_database() -> None:
    """What was changed meanwhile is in the same `Session` and in the response."""
    app = an_app()
    access = signed_in(app).access_token

    def view() -> ResponseReturnValue:
        before = get_session()
        assert before is not None
        state_of(app).engine.merge_payload(before.handle, {"role": "admin"})
        return [get_session(check_database=True) is before, before.access_token_payload["role"]]

    response = call(add(app, view), "GET", "/view", access=access)
    assert response.json == [True, "admin"]
    assert front(response)["up"]["role"] == "admin"


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_kind_of_signing_key_was_changed(dynamic: bool) -> None:
    """*Try refresh token*: a refresh signs with the right kind."""
    before = an_app(use_dynamic_signing_key=not dynamic)
    after = an_app(store=state_of(before).engine.store, use_dynamic_signing_key=dynamic)  # type: ignore[attr-defined]
    tokens = signed_in(before)
    asserted_answer(call(after, "GET", "/me", access=tokens.access_token), 401, TRY_REFRESH)
    assert call(after, "POST", "/refresh", refresh=tokens.refresh_token).status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ({"issuer": "a"}, {"issuer": "a"}, 200),
        ({"issuer": "a"}, {"issuer": "b"}, 401),
        ({}, {"issuer": "a"}, 401),
        ({"issuer": "a"}, {}, 200),
        ({"audience": "a"}, {"audience": "a"}, 200),
        ({"audience": "a"}, {"audience": "b"}, 401),
        ({}, {"audience": "a"}, 401),
        ({"audience": "a"}, {}, 200),
        ({}, {"api_domain": "https://api.example.com"}, 200),
    ],
)
def test_two_apps_share_their_keys(one: dict[str, str], other: dict[str, str], status: int) -> None:
    """``iss`` and ``aud`` are checked where they were set by hand."""
    first = an_app(**one)
    second = an_app(store=state_of(first).engine.store, **other)  # type: ignore[attr-defined]
    assert call(second, "GET", "/me", access=signed_in(first).access_token).status_code == status


def test_a_session_was_made_in_this_request() -> None:
    """It counts at once, though the request came without a token."""

    def view() -> ResponseReturnValue:
        session = create_new_session("user-2")
        return str(get_session() is session is current_session._get_current_object())

    app = add(an_app(), view)
    assert call(app, "GET", "/view").text == "True"
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "True"


# -- anti-CSRF ---------------------------------------------------------------------------------------------------------

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")


@pytest.mark.parametrize(
    ("mode", "method", "header", "status"),
    [
        *[("NONE", method, None, 200) for method in ("GET", "HEAD", *UNSAFE)],
        *[("VIA_CUSTOM_HEADER", method, None, 401) for method in UNSAFE],
        *[("VIA_CUSTOM_HEADER", method, ("rid", "x"), 200) for method in UNSAFE],
        *[("VIA_CUSTOM_HEADER", method, None, 200) for method in ("GET", "HEAD")],
        *[("VIA_TOKEN", method, None, 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("anti-csrf", "wrong"), 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("rid", "x"), 401) for method in UNSAFE],
        *[("VIA_TOKEN", method, ("anti-csrf", None), 200) for method in UNSAFE],
        *[("VIA_TOKEN", method, None, 200) for method in ("GET", "HEAD")],
    ],
)
def test_a_cookie_session_is_used(mode: str, method: str, header: tuple[str, str | None] | None, status: int) -> None:
    """GET and HEAD are exempt; else the mode decides: nothing, a ``rid`` of any value, or the session's own token."""
    app = an_app(anti_csrf=mode)
    tokens = signed_in(app, anti_csrf=True)
    headers = {} if header is None else {header[0]: header[1] or str(tokens.anti_csrf_token)}
    response = call(app, method, "/me", access=tokens.access_token, headers=headers)
    assert response.status_code == status
    assert untouched(response)


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_a_header_session_is_used(mode: str) -> None:
    """Nothing is asked of it in any mode: no browser sends that header by itself; neither is it foreign."""
    app = an_app(anti_csrf=mode)
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.com"}
    assert call(app, "POST", "/me", bearer=signed_in(app).access_token, headers=headers).status_code == 200


def test_a_session_has_no_anti_csrf_token() -> None:
    """In mode VIA_TOKEN it can't be used for an unsafe request by cookie."""
    app = an_app(anti_csrf="VIA_TOKEN")
    access = signed_in(app).access_token
    asserted_answer(call(app, "POST", "/me", access=access, headers={"anti-csrf": "x"}), 401, TRY_REFRESH)


@pytest.mark.parametrize(("check", "method", "status"), [(True, "GET", 401), (False, "POST", 200)])
@pytest.mark.parametrize("mode", ["VIA_CUSTOM_HEADER", "VIA_TOKEN"])
def test_a_view_says_what_is_checked(mode: str, check: bool, method: str, status: int) -> None:
    """The argument beats the method's default."""
    app = add(an_app(anti_csrf=mode), verify_session(anti_csrf_check=check)(user))
    assert call(app, method, "/view", access=signed_in(app, anti_csrf=True).access_token).status_code == status


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(("site", "status"), [("same-origin", 200), ("none", 401), (None, 401)])
def test_a_form_of_our_own_is_sent(site: str | None, status: int) -> None:
    """A form can't send ``rid``; one of the same origin counts as if it did."""
    app = an_app(anti_csrf="VIA_CUSTOM_HEADER")
    headers = {"Content-Type": FORM} | ({"Sec-Fetch-Site": site} if site else {})
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == status


OWN, SITE, EVIL = "http://localhost", "https://www.example.com", "https://evil.com"


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "none", "Origin": OWN}, False),
        ({"Sec-Fetch-Site": "none", "Origin": SITE}, False),
        ({"Sec-Fetch-Site": "none", "Origin": EVIL}, True),
        ({"Sec-Fetch-Site": "none", "Origin": "null"}, True),
        ({"Origin": EVIL}, True),
        ({"Origin": "null"}, True),
        ({"Origin": OWN}, False),
        ({"Origin": SITE}, False),
        ({"Origin": SITE, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": EVIL, "Sec-Fetch-Site": "cross-site"}, True),
        ({}, False),
    ],
)
def test_a_request_comes_from_somewhere(mode: str, headers: dict[str, str], foreign: bool) -> None:
    """In every mode an unsafe request with a cookie from a foreign origin is 403, safe ones pass; nothing is cleared."""
    app = an_app(anti_csrf=mode, website_domain=SITE)
    tokens = signed_in(app, anti_csrf=True)
    proof = {"rid": "x", "anti-csrf": str(tokens.anti_csrf_token)}
    response = call(app, "POST", "/me", access=tokens.access_token, headers={**headers, **proof})
    assert response.status_code == (403 if foreign else 200)
    assert untouched(response)
    assert not foreign or response.json == FOREIGN
    assert call(app, "GET", "/me", access=tokens.access_token, headers=headers).status_code == 200


def ends_with_shop(origin: str) -> bool:
    if origin == "https://broken.example":
        raise LookupError("the database is gone")
    return origin.endswith(".shop")


async def whatever(origin: str) -> bool:
    return True


@pytest.mark.parametrize("path", ["/me", "/refresh"])
@pytest.mark.parametrize(
    ("websites", "origin", "foreign"),
    [
        (["https://*.example.com", SITE], "https://a.b.example.com", False),
        ("https://*.example.com", "https://example.com", True),
        ("https://*.example.com", "https://a.example.com.evil.com", True),
        ("capacitor://localhost", "capacitor://localhost", False),
        ("chrome-extension://abc", "chrome-extension://abd", True),
        (["https://*.example.com", ends_with_shop], "https://a.shop", False),
        (["https://*.example.com", ends_with_shop], "https://a.example.com", False),
        (ends_with_shop, EVIL, True),
        (ends_with_shop, "null", True),
        ([ends_with_shop, SITE], "https://broken.example", True),
        (whatever, EVIL, True),
    ],
)
def test_websites_are_told_by_pattern_or_function(path: str, websites: Any, origin: str, foreign: bool) -> None:
    """A refresh and a view let those in that are meant, and nobody else."""
    app = an_app(website_domain=websites, cookie_same_site="lax")
    tokens = signed_in(app)
    headers = {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
    response = call(app, "POST", path, access=tokens.access_token, refresh=tokens.refresh_token, headers=headers)
    assert response.status_code == (403 if foreign else 200)


@pytest.mark.parametrize(("ask", "said"), [(ends_with_shop, "the database is gone"), (whatever, "is async")])
def test_the_function_for_websites_fails(ask: Any, said: str, caplog: pytest.LogCaptureFixture) -> None:
    """The log has the error, and says what failed; our own origin needs no function."""
    app = an_app(website_domain=ask, cookie_same_site="lax")
    token = signed_in(app).access_token
    assert call(app, "POST", "/me", access=token, headers={"Origin": OWN}).status_code == 200
    assert caplog.text == ""
    response = call(app, "POST", "/me", access=token, headers={"Origin": "https://broken.example"})
    assert response.status_code == 403
    assert said in caplog.text
    assert "The function in SUPERTOKENS_WEBSITE_DOMAIN failed; the origin is refused." in caplog.text
    assert "the app's function allows" in caplog.text


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Origin": EVIL}, True),
        ({"Origin": "null"}, True),
        ({"Origin": EVIL, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": OWN}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": SITE}, False),
        ({}, False),
    ],
)
def test_a_websocket_is_opened(mode: str, headers: dict[str, str], foreign: bool) -> None:
    """Its ``Origin`` decides in every mode; headers that a page can't send with it are not asked for."""
    app = an_app(anti_csrf=mode, website_domain=SITE)
    access = signed_in(app, anti_csrf=True).access_token
    response = call(app, "GET", "/me", access=access, headers={"Upgrade": "WebSocket", **headers})
    assert response.status_code == (403 if foreign else 200)
    assert untouched(response)


def test_a_view_turns_the_anti_csrf_check_off() -> None:
    """Foreign origins are refused all the same."""
    app = add(an_app(), verify_session(anti_csrf_check=False)(user))
    headers = {"Sec-Fetch-Site": "cross-site"}
    asserted_answer(call(app, "POST", "/view", access=signed_in(app).access_token, headers=headers), 403, FOREIGN)


def test_the_api_is_behind_a_proxy() -> None:
    """The origin that the settings name is our own, whatever the inner host is called."""
    app = an_app(api_domain="http://api.example.com")
    headers = {"Origin": "http://api.example.com"}
    assert call(app, "POST", "/me", access=signed_in(app).access_token, headers=headers).status_code == 200


def test_errors_can_be_caught_in_a_view() -> None:
    """`get_session` raises what the decorator raises."""

    def view() -> ResponseReturnValue:
        with pytest.raises(UnauthorisedError):
            get_session()
        return "caught"

    assert call(add(an_app(), view), "GET", "/view").text == "caught"
