"""For tests of apps: a client that logs in, loses answers and is robbed, and a clock that stands still.

::

    app.test_client_class = SuperTokensClient
    client = app.test_client()
    client.login("user-1", {"role": "admin"})
    assert client.get("/me").status_code == 200

With pytest: ``pytest_plugins = ["flask_supertokens.testing"]`` in ``conftest.py`` gives the fixtures ``supertokens_client`` and
``supertokens_clock`` for an app that a fixture ``app`` makes. `MemoryStore` keeps sessions in memory: ``SuperTokens(app,
store=MemoryStore())``.

PYTEST_DONT_REWRITE: there is no assertion in here to explain, and a test may have imported it before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flask import Flask
from flask.testing import FlaskClient

from .context import AppState, app_state
from .engines.embedded import EmbeddedEngine
from .protocol.model import AccessToken
from .sessions import Session, create_new_session
from .stores.memory import MemoryStore

if TYPE_CHECKING:
    from werkzeug.test import TestResponse

__all__ = ["FrozenClock", "MemoryStore", "SuperTokensClient"]


class FrozenClock:
    """The embedded engine's clock, moved by hand. ``FrozenClock().freeze(app)`` stops the time of an app's sessions."""

    def __init__(self, milliseconds: int | None = None) -> None:
        self.milliseconds = time.time_ns() // 1_000_000 if milliseconds is None else milliseconds

    def __call__(self) -> int:
        return self.milliseconds

    def move(self, span: float | timedelta) -> None:
        """Let time pass.

        :param span: seconds or a timedelta.
        """
        seconds = span.total_seconds() if isinstance(span, timedelta) else span
        self.milliseconds += round(seconds * 1000)

    def freeze(self, app: Flask) -> FrozenClock:
        """Become the clock of an app's engine."""
        _embedded(app).clock = self
        return self


class SuperTokensClient(FlaskClient):
    """Flask's test client, as a browser whose user logs in. Sessions are carried by cookies; the engine is the embedded one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._loses_next = False

    def login(
        self,
        user_id: str,
        access_token_payload: Mapping[str, Any] | None = None,
        session_data: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Session:
        """Have a new session of this user, as `create_new_session` makes it; no route of the app is asked."""
        with self.application.test_request_context():
            session = create_new_session(user_id, access_token_payload, session_data, **options)
            self._keep(session.tokens.access_token, session.tokens.refresh_token)
        return session

    def expire_access_token(self) -> None:
        """Let this client's access token have expired a second ago; its refresh token stays good."""
        token, engine = self._access_token(), _embedded(self.application)
        claims = {**token.claims, "exp": engine.now() // 1000 - 1}
        with self.application.test_request_context():
            self._keep(engine._access_tokens.sign(claims, engine.now(), token.kind).raw, None)

    def expire_session(self) -> None:
        """Let the session behind this client be over: nobody came for too long."""
        handle, store = self._access_token().handle, _embedded(self.application).store
        record = store.read(handle)
        if record is not None:
            store.swap_line(handle, record.line, replace(record.line, expires_at=1), record.refreshed_at)
        self.expire_access_token()

    def lose_next_response(self) -> None:
        """The cookies of the next response do not reach this client, as when the network breaks."""
        self._loses_next = True

    def steal(self) -> SuperTokensClient:
        """Another client with a copy of this one's cookies."""
        thief = type(self)(self.application, self.application.response_class)
        thief._cookies = dict(self._cookies or {})
        return thief

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        kept = dict(self._cookies or {})
        loses, self._loses_next = self._loses_next, False
        response = super().open(*args, **kwargs)
        if loses:
            self._cookies = kept
        return response

    def _keep(self, access_token: str, refresh_token: str | None) -> None:
        """Inside of a request context: cookie names depend on it."""
        names = app_state().cookie_names()
        self.set_cookie(names.access, quote(access_token), path=names.access_path)
        if refresh_token is not None:
            self.set_cookie(names.refresh, quote(refresh_token), path=names.refresh_path)

    def _access_token(self) -> AccessToken:
        with self.application.test_request_context():
            state = app_state()
            names = state.cookie_names()
            cookie = self.get_cookie(names.access, path=names.access_path)
            token = None if cookie is None else state.engine.read_access_token(cookie.value)
        if token is None:
            raise RuntimeError("This client has no session: call login first.")
        return token


def _embedded(app: Flask) -> EmbeddedEngine:
    state: AppState = app.extensions["supertokens"]
    if not isinstance(state.engine, EmbeddedEngine):
        raise RuntimeError("The test kit needs the embedded engine: leave SUPERTOKENS_CONNECTION_URI out in tests.")
    return state.engine


try:
    import pytest
except ImportError:  # the client and the clock serve other test runners too
    pass
else:

    @pytest.fixture
    def supertokens_client(app: Flask) -> SuperTokensClient:
        """A client of the app that the fixture ``app`` makes."""
        return SuperTokensClient(app, app.response_class)

    @pytest.fixture
    def supertokens_clock(app: Flask) -> Iterator[FrozenClock]:
        """The app's clock, standing still."""
        engine = _embedded(app)
        before = engine.clock
        yield FrozenClock().freeze(app)
        engine.clock = before
