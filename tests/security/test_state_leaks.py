"""Nobody is served as somebody else, in whatever way views and contexts are nested; and tokens reach whom they were made for.

Threads of gunicorn and gevent: `living_with/test_gunicorn.py`.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import (
    Flask,
    Response,
    copy_current_request_context,
    current_app,
    g,
    jsonify,
    request,
    stream_with_context,
)
from flask.typing import ResponseReturnValue
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client, run_wsgi_app

from flask_supertokens import (
    UnauthorisedError,
    create_new_session,
    current_session,
    get_session,
    refresh_session,
    signals,
    verify_session,
)

from ..support.apps import SECRET, add, an_app, an_app_with_users, clock_of, handles, signed_in, whoami
from ..support.cookies import set_cookies
from ..support.threads import at_once
from ..support.wire import call, cleared_methods, front, sets_no_tokens

BOTH = {"sAccessToken", "sRefreshToken"}
USERS = 8
ROUNDS = 25


def me() -> str:
    return current_session.user_id


def everybody(app: Flask, ask: Callable[[str, str], str]) -> None:
    """Eight users ask at the same time, again and again, and each is told who he is."""
    tokens = {f"user-{number}": signed_in(app, f"user-{number}").access_token for number in range(USERS)}
    barrier = threading.Barrier(USERS)

    def life(user: str) -> list[str]:
        barrier.wait(10)
        return [ask(user, tokens[user]) for _ in range(ROUNDS)]

    with ThreadPoolExecutor(USERS) as pool:
        told = dict(zip(tokens, pool.map(life, tokens), strict=True))
    assert told == {user: [user] * ROUNDS for user in tokens}


# -- many at once ------------------------------------------------------------------------------------------------------


def asked(app: Flask) -> Callable[[str, str], str]:
    return lambda _user, access: call(app, "GET", "/view", access=access).text


def test_users_who_come_in_threads_see_only_themselves() -> None:
    """Also when a view waits in the middle, so that others run there."""
    meeting = threading.Barrier(USERS)

    def view() -> str:
        before = current_session.user_id
        meeting.wait(10)
        assert current_session.user_id == before
        return before

    app = add(an_app(), verify_session(view))
    everybody(app, asked(app))


def test_users_who_come_to_async_views_see_only_themselves() -> None:
    """A coroutine that was put aside goes on with its own user."""

    async def view() -> str:
        before = current_session.user_id
        await asyncio.sleep(0.001)
        assert current_session.user_id == before
        return before

    app = add(an_app(), verify_session(view))
    everybody(app, asked(app))


def test_users_inside_of_one_application_context_see_only_themselves() -> None:
    """It was pushed by somebody, for example a shell, and outlives all requests."""
    app = add(an_app(), verify_session(me))
    with app.app_context():
        everybody(app, asked(app))


def test_only_a_copied_context_takes_the_user_to_a_thread() -> None:
    """`copy_current_request_context` takes the user along, and only there."""

    def view() -> str:
        @copy_current_request_context
        def in_a_thread() -> str:
            return current_session.user_id

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(in_a_thread).result(10)

    app = add(an_app(), verify_session(view))
    everybody(app, asked(app))


def test_a_thread_without_a_context_has_nobody() -> None:
    """There is nobody."""
    app = an_app()
    outside: list[bool] = []

    def view() -> str:
        with ThreadPoolExecutor(1) as pool:
            outside.append(pool.submit(lambda: bool(current_app)).result(10))
            with pytest.raises(RuntimeError):
                pool.submit(get_session).result(10)
        return "ok"

    add(app, verify_session(view))
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "ok"
    assert outside == [False]


def test_users_who_read_streams_get_only_their_own() -> None:
    """Each part of a streamed answer is written for the user who asked."""

    def view() -> Response:
        def parts() -> Any:
            for _ in range(3):
                yield current_session.user_id + " "

        return Response(stream_with_context(parts()))

    app = add(an_app(), verify_session(view))
    everybody(app, lambda _user, access: set(call(app, "GET", "/view", access=access).text.split()).pop())


# -- one inside of another ---------------------------------------------------------------------------------------------


def test_a_test_client_inside_of_a_view_has_its_own_user() -> None:
    """The inner request has its own user, also nobody, and the outer one keeps his."""
    app = an_app()
    other = signed_in(app, "user-2").access_token

    def view() -> ResponseReturnValue:
        inner = [call(app, "GET", "/maybe", access=access).json["user"] for access in (other, None)]
        return {"outer": current_session.user_id, "inner": inner}

    add(app, verify_session(view))
    response = call(app, "GET", "/view", access=signed_in(app, "user-1").access_token)
    assert response.json == {"outer": "user-1", "inner": ["user-2", None]}


def test_a_test_request_context_inside_of_a_view_is_of_nobody_and_sets_no_cookie() -> None:
    """It is a request of nobody; a session that is made there sets no cookie for the outer one."""
    app = an_app()

    def view() -> ResponseReturnValue:
        with app.test_request_context():
            assert get_session(session_required=False) is None
            create_new_session("user-2")
        return {"user": current_session.user_id}

    add(app, verify_session(view))
    response = call(app, "GET", "/view", access=signed_in(app, "user-1").access_token)
    assert (response.json, set_cookies(response)) == ({"user": "user-1"}, {})


def test_apps_with_other_keys_that_take_turns_do_not_take_each_other_s_tokens() -> None:
    """In one process, one mounted below the other: the tokens of one are nothing to the other."""
    one, two = an_app(SECRET_KEY="the secret of one"), an_app(SECRET_KEY="the secret of two")
    mounted = Client(DispatcherMiddleware(one, {"/two": two}), use_cookies=False)
    tokens = [signed_in(one, "user-1").access_token, signed_in(two, "user-2").access_token]
    for _ in range(3):
        for number, access in enumerate(tokens):
            headers = {"Cookie": f"sAccessToken={access}"}
            told = [mounted.get(path, headers=headers) for path in ("/me", "/two/me")]
            assert [answer.status_code for answer in told] == ([200, 401] if number == 0 else [401, 200])
            assert told[number].json is not None
            assert told[number].json["user"] == f"user-{number + 1}"


def test_a_session_object_kept_in_g_is_refused_in_the_next_request() -> None:
    """A session object from the request before is refused in the next one's name."""
    app = an_app()
    kept: list[Any] = []

    def view() -> ResponseReturnValue:
        kept.append(get_session())
        g.session = kept[0]
        kept[0].merge_into_access_token_payload({"admin": True}) if len(kept) == 1 else None
        return {"admin": current_session.access_token_payload.get("admin"), "user": current_session.user_id}

    add(app, verify_session(view))
    assert call(app, "GET", "/view", access=signed_in(app, "user-1").access_token).json["admin"] is True
    second = call(app, "GET", "/view", access=signed_in(app, "user-2").access_token)
    assert second.json == {"admin": None, "user": "user-2"}


# -- something raises --------------------------------------------------------------------------------------------------


def failing(*_: object, **__: object) -> Any:
    raise RuntimeError("of the app")


def in_a_view(app: Flask, make: Callable[[], None]) -> None:
    def view() -> ResponseReturnValue:
        make()
        return failing()

    add(app, view)


def in_an_error_handler(app: Flask, make: Callable[[], None]) -> None:
    in_a_view(app, make)
    app.register_error_handler(RuntimeError, failing)


def in_a_handler_that_makes_them(app: Flask, make: Callable[[], None]) -> None:
    def handle(_: Exception) -> ResponseReturnValue:
        make()
        return failing()

    add(app, failing)
    app.register_error_handler(RuntimeError, handle)


def in_a_hook_before(app: Flask, make: Callable[[], None]) -> None:
    def hook() -> None:
        if request.path == "/view":
            make()
            failing()

    add(app, lambda: "ok")
    app.before_request(hook)


def in_a_hook_after(app: Flask, make: Callable[[], None]) -> None:
    """Flask gives the after-request functions no second chance; a handler's answer has the tokens."""

    def view() -> str:
        make()
        return "ok"

    add(app, view)
    app.register_error_handler(RuntimeError, lambda _: ("mended", 500))
    app.after_request(lambda response: failing() if response.status_code == 200 else response)


PLACES = {
    "view": in_a_view,
    "error handler": in_an_error_handler,
    "handler that makes them": in_a_handler_that_makes_them,
    "before_request": in_a_hook_before,
    "after_request": in_a_hook_after,
}


def make_a_session() -> None:
    create_new_session("user-1")


@pytest.mark.parametrize("place", PLACES)
def test_tokens_made_before_something_raised_reach_nobody(place: str) -> None:
    """They reach nobody, whatever answer the client gets, and the session is ended."""
    app = an_app()
    PLACES[place](app, make_a_session)
    assert set_cookies(call(app, "GET", "/view")) == {}
    assert handles(app) == []


@pytest.mark.parametrize("place", PLACES)
def test_tokens_refreshed_before_something_raised_arrive(place: str) -> None:
    """The old refresh token is used up, so the new one must arrive."""
    app = an_app()
    PLACES[place](app, lambda: refresh_session() and None)
    response = call(app, "GET", "/view", refresh=signed_in(app).refresh_token)
    assert set(set_cookies(response)) == BOTH


def test_a_teardown_that_raises_loses_the_response_and_the_client_goes_on() -> None:
    """The server loses the whole answer then, as a network would: the client asks again with what it has, and gets new tokens."""
    app = an_app()
    fails: list[bool] = []
    app.teardown_request(lambda _: failing() if fails and fails.pop() else None)
    token = signed_in(app).refresh_token
    fails.append(True)
    with pytest.raises(RuntimeError, match="of the app"):
        call(app, "POST", "/refresh", refresh=token)
    assert set(set_cookies(call(app, "POST", "/refresh", refresh=token))) == BOTH


@pytest.mark.parametrize("place", ["error handler", "after_request"])
def test_an_error_that_clears_tokens_clears_them(place: str) -> None:
    """Also when the app fails over it."""
    app = an_app()

    def view() -> ResponseReturnValue:
        raise UnauthorisedError("over")

    add(app, view)
    if place == "error handler":
        app.register_error_handler(UnauthorisedError, failing)
    else:
        app.register_error_handler(RuntimeError, lambda _: ("mended", 500))
        app.after_request(lambda response: failing() if response.status_code == 401 else response)
    tokens = signed_in(app)
    response = call(app, "GET", "/view", access=tokens.access_token, refresh=tokens.refresh_token)
    assert cleared_methods(response) == {"cookie", "header"}


def test_a_receiver_that_raises_fails_the_sign_in_and_no_tokens_arrive() -> None:
    """The log-in failed, so no tokens arrive; the next user is himself."""
    app = an_app()
    signals.session_created.connect(failing, app)
    try:
        assert set_cookies(call(app, "POST", "/login")) == {}
    finally:
        signals.session_created.disconnect(failing, app)
    assert call(app, "GET", "/me", access=signed_in(app, "user-2").access_token).json["user"] == "user-2"


def test_a_request_that_failed_leaves_nobody_behind() -> None:
    """The next one on the same thread, without a token, is nobody's."""
    app = an_app()
    add(app, verify_session(failing))
    add(app, verify_session(session_required=False)(whoami), "/next")
    assert call(app, "GET", "/view", access=signed_in(app).access_token).status_code == 500
    assert call(app, "GET", "/next").json["user"] is None


def test_tokens_changed_in_a_stream_are_warned_of_and_not_sent(caplog: pytest.LogCaptureFixture) -> None:
    """The headers have left: a warning says that the client gets none of it."""

    def view() -> Any:
        get_session(session_required=False)

        def body() -> Iterator[str]:
            yield create_new_session("user-1").user_id

        from flask import stream_with_context

        return Response(stream_with_context(body()))

    response = call(add(an_app(), view), "GET", "/view")
    assert response.text == "user-1"
    assert "after the response had left" in caplog.text
    assert set_cookies(response) == {}


def test_a_context_that_is_kept_pushed_carries_nobody_to_the_next_request() -> None:
    """The next request, with nobody's token, is nobody's."""
    app = an_app()
    with app.app_context():
        assert call(app, "GET", "/maybe", access=signed_in(app).access_token).json["user"] == "user-1"
        assert call(app, "GET", "/maybe").json["user"] is None
        assert call(app, "GET", "/me").status_code == 401
        assert not current_session


def test_two_browsers_that_take_turns_are_each_served_as_who_they_are() -> None:
    """Each is served as who it is, though the engine remembers verified tokens."""
    app = an_app()
    users = {user: signed_in(app, user).access_token for user in ("alice", "bob")}
    for user in ["alice", "bob", "bob", "alice"]:
        assert call(app, "GET", "/me", access=users[user]).json["user"] == user


def test_the_session_of_one_test_client_is_not_that_of_the_other() -> None:
    """The session of one test client is not the other's."""
    app = an_app()
    one, other = app.test_client(), app.test_client()
    one.post("/login")
    assert one.get("/me").status_code == 200
    assert other.get("/me").status_code == 401


def test_a_request_inside_a_request_has_its_own_session() -> None:
    """The inner one has its own session and response, the outer one keeps its own."""
    app = an_app()
    inner = signed_in(app, "inner").access_token

    def view() -> ResponseReturnValue:
        before = current_session.user_id
        answer = call(app, "GET", "/maybe", access=inner).json["user"]
        anonymous = call(app, "GET", "/maybe").json["user"]
        logged_in = call(app, "POST", "/login")
        return jsonify(before, answer, anonymous, current_session.user_id, len(set_cookies(logged_in)))

    add(app, verify_session(view))
    response = call(app, "GET", "/view", access=signed_in(app, "outer").access_token)
    assert response.json == ["outer", "inner", None, "outer", 2]
    assert sets_no_tokens(response)


def handing_on(second: Flask) -> Any:
    """A view that gives its own environ to another app and answers what that one answers."""

    def view() -> ResponseReturnValue:
        get_session(session_required=False) or create_new_session("first")
        body, status, _ = run_wsgi_app(second, request.environ)
        return b"".join(body), int(status.split()[0]), {"Content-Type": "application/json"}

    return view


@pytest.mark.parametrize("shared_secret", [True, False])
def test_a_second_app_judges_a_handed_on_environ_by_its_own_keys(shared_secret: bool) -> None:
    """The second app judges the token by its own store and key; what the first one found does not count there."""
    second = an_app(SECRET_KEY=SECRET if shared_secret else "another")
    first = add(an_app(), handing_on(second))
    clock_of(second).wait(1)
    add(second, verify_session(whoami))
    response = call(first, "GET", "/view", access=signed_in(first).access_token)
    assert (response.status_code, response.json) == (401, {"message": "try refresh token"})


def test_a_session_made_before_the_environ_is_handed_on_stays_with_the_first_app() -> None:
    """The second app finds nobody, and the first one's tokens leave with the first one's response."""
    second = add(an_app(), verify_session(session_required=False)(whoami))
    response = call(add(an_app(), handing_on(second)), "GET", "/view")
    assert response.json == {"user": None, "method": None}
    assert front(response)["uid"] == "first"


def test_asking_for_the_session_of_another_apps_request_is_refused() -> None:
    """Refused: the request belongs to the app that serves it."""
    first, second = an_app(), an_app()

    def view() -> ResponseReturnValue:
        with second.app_context(), pytest.raises(RuntimeError, match="belongs to another app"):
            get_session()
        return {}

    add(first, verify_session(view))
    assert call(first, "GET", "/view", access=signed_in(first).access_token).status_code == 200


def test_a_view_without_the_decorator_has_no_session_of_the_request_before() -> None:
    """``current_session`` is not the one of the request before."""
    app = add(an_app(), lambda: {"there": bool(current_session)})
    access = signed_in(app).access_token
    call(app, "GET", "/me", access=access)
    assert call(app, "GET", "/view", access=access).json == {"there": False}


def test_a_session_object_in_another_user_s_request_changes_no_response() -> None:
    """It changes the store, and never the response to somebody else."""
    app, kept = an_app_with_users(), {}

    @app.get("/keep")
    @verify_session
    def keep() -> str:
        kept["session"] = current_session._get_current_object()  # type: ignore[attr-defined]
        return ""

    @app.get("/use")
    @verify_session
    def use() -> str:
        kept["session"].merge_into_access_token_payload({"role": "none"})
        return current_session.user_id

    alice, bob = app.test_client(), app.test_client()
    alice.post("/login/alice"), bob.post("/login/bob")
    alice.get("/keep")
    response = bob.get("/use")
    assert (response.text, set_cookies(response)) == ("bob", {})
    assert bob.get("/me").json == {"user": "bob", "role": "admin"}


def test_tokens_that_change_while_a_response_is_streamed_are_logged_as_lost(caplog: pytest.LogCaptureFixture) -> None:
    """They can't reach the client any more, and the log says so."""
    app = an_app_with_users()

    @app.get("/stream")
    @verify_session
    def stream() -> Any:
        def lines() -> Any:
            current_session.merge_into_access_token_payload({"late": True})
            yield "done"

        return app.response_class(stream_with_context(lines()))

    client = app.test_client()
    client.post("/login/alice")
    assert client.get("/stream").text == "done"
    assert "after the response had left" in caplog.text


def test_a_pushed_application_context_carries_nobody() -> None:
    """State lives on the request: the next anonymous request is not the user before."""
    app = an_app_with_users()
    with app.app_context():
        client = app.test_client()
        client.post("/login/alice")
        assert client.get("/me").json["user"] == "alice"
        assert app.test_client().get("/me").status_code == 401
        assert not vars(g).get("supertokens")


def test_eight_users_of_one_view_are_each_served_as_who_they_are() -> None:
    """Eight users at once on one view: each is served as who it is."""
    app = add(an_app(), verify_session(lambda: current_session.user_id))
    users = {f"user-{number}": signed_in(app, f"user-{number}").access_token for number in range(8)}

    def serve(number: int) -> bool:
        answers = [call(app, "GET", "/view", access=users[f"user-{number}"]).text for _ in range(10)]
        return answers == [f"user-{number}"] * 10

    assert all(at_once(8, serve))
