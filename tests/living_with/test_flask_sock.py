"""Flask-Sock: websockets are verified when they are opened, and with each message."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
from simple_websocket import Client, ConnectionClosed
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from flask_supertokens import revoke_all_sessions_for_user
from tests.support.plans import HOUR, Clock

from .conftest import Run

Connect = Callable[..., Client]
WEBSITE = "https://www.example.org"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def module(run: Run, clock: Clock) -> ModuleType:
    module = run("Flask-Sock", SUPERTOKENS_WEBSITE_DOMAIN=WEBSITE)
    module.app.extensions["supertokens"].engine.clock = clock
    return module


@pytest.fixture
def access(module: ModuleType) -> str:
    """The access token of somebody who has logged in."""
    return str(module.app.test_client().post("/login", headers={"st-auth-mode": "header"}).headers["st-access-token"])


@pytest.fixture
def connect(module: ModuleType) -> Iterator[Connect]:
    """Opens websockets to the example's app on a real socket; they are closed in the end."""
    server = make_server("127.0.0.1", 0, module.app, threaded=True)
    serving = threading.Thread(target=server.serve_forever, args=(0.02,))
    serving.start()
    opened: list[Client] = []

    def connect(path: str, access: str = "", origin: str = "http://127.0.0.1") -> Client:
        headers = {"Origin": origin, "Cookie": f"sAccessToken={access}"}
        opened.append(Client(f"ws://127.0.0.1:{server.port}{path}", headers=headers))
        return opened[-1]

    yield connect
    for websocket in opened:
        with contextlib.suppress(ConnectionClosed):
            websocket.close()
        websocket.sock.close()
    server.shutdown()
    serving.join()
    server.server_close()


def say(websocket: Client, text: str) -> str | None:
    websocket.send(text)
    return websocket.receive(timeout=10)  # type: ignore[no-any-return]


def end_of(websocket: Client, text: str) -> tuple[int, str]:
    """How the server closes the websocket when it is sent this."""
    with pytest.raises(ConnectionClosed) as caught:
        say(websocket, text)
    return caught.value.reason, caught.value.message


# -- opened by a page, with cookies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://127.0.0.1", WEBSITE])
def test_a_page_of_our_own_or_the_website_s_origin_talks_by_websocket(
    connect: Connect, access: str, origin: str
) -> None:
    """With a session it is answered, from our own origin and from the website's."""
    websocket = connect("/echo", access, origin)
    assert [say(websocket, "a"), say(websocket, "b")] == ["a", "b"]


def handshake(module: ModuleType, access: str, origin: str = "http://localhost") -> TestResponse:
    """The answer to a handshake that is refused."""
    headers = {"Connection": "Upgrade", "Upgrade": "websocket", "Origin": origin, "Cookie": f"sAccessToken={access}"}
    response: TestResponse = module.app.test_client(use_cookies=False).get("/echo", headers=headers)
    return response


def test_a_foreign_page_s_websocket_is_refused(module: ModuleType, access: str) -> None:
    """The handshake is refused."""
    assert handshake(module, access, "https://evil.example.org").status_code == 403


def test_a_websocket_without_a_session_is_refused(module: ModuleType) -> None:
    """Without a session the handshake is refused."""
    assert handshake(module, "").json == {"message": "unauthorised"}


def test_a_websocket_with_an_expired_token_is_refused(module: ModuleType, access: str, clock: Clock) -> None:
    """The handshake is refused; the client has to refresh first."""
    clock.wait(HOUR)
    assert handshake(module, access).json == {"message": "try refresh token"}


def test_an_open_websocket_is_closed_at_the_next_message_when_the_session_ended(
    connect: Connect, access: str, module: ModuleType
) -> None:
    """The next message closes it."""
    websocket = connect("/echo", access)
    assert say(websocket, "a") == "a"
    with module.app.app_context():
        revoke_all_sessions_for_user("user-1")
    assert end_of(websocket, "b") == (4401, "unauthorised")


def test_an_open_websocket_is_closed_at_the_next_message_when_the_token_expired(
    connect: Connect, access: str, clock: Clock
) -> None:
    """The next message closes it, in words that tell the client to refresh."""
    websocket = connect("/echo", access)
    clock.wait(HOUR)
    assert end_of(websocket, "a") == (4401, "try refresh token")


# -- opened with the token as the first message ------------------------------------------------------------------------


def test_a_token_as_the_first_message_opens_a_websocket_without_a_cookie(connect: Connect, access: str) -> None:
    """What follows is answered; no cookie is needed, and no origin is asked."""
    websocket = connect("/echo-by-token", origin="https://app.example.net")
    websocket.send(access)
    assert say(websocket, "a") == "a"


def test_anything_else_as_the_first_message_closes_the_websocket(connect: Connect) -> None:
    """The websocket is closed."""
    websocket = connect("/echo-by-token")
    websocket.send("hello")
    assert end_of(websocket, "a") == (4401, "unauthorised")
