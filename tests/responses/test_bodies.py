"""The body of a request that is refused."""

from __future__ import annotations

import contextlib
from io import BytesIO
from typing import Any

import pytest
from flask import Response, request, stream_with_context
from flask.typing import ResponseReturnValue

from flask_supertokens import (
    SuperTokensError,
    get_session,
)

from ..support.apps import an_app, signed_in
from ..support.wire import UNAUTHORISED, call, cleared_methods


def mine(error: Exception) -> ResponseReturnValue:
    return {"mine": type(error).__name__}, 418


@pytest.mark.parametrize("render", [None, mine], ids=["ours", "own"])
def test_a_refused_body_is_read_to_its_end(render: Any) -> None:
    """To its end, whoever renders the refusal: a proxy that still sends it would make a 502 of a cut connection."""
    app, body = an_app(), BytesIO(b"a" * 200_000)
    if render is not None:
        app.register_error_handler(SuperTokensError, render)
    json = {"Content-Type": "application/json"}
    response = call(app, "POST", "/me", headers=json, input_stream=body, content_length=200_000)
    assert (response.status_code, body.read()) == (401 if render is None else 418, b"")


def test_a_refused_body_that_is_too_large_stays_unread() -> None:
    """It stays unread; the refusal is the same."""
    app, body = an_app(MAX_CONTENT_LENGTH=1000), BytesIO(b"a" * 1001)
    response = call(app, "POST", "/me", input_stream=body, content_length=1001)
    assert (response.json, len(body.read())) == (UNAUTHORISED, 1001)


def test_a_body_that_is_not_refused_is_left_to_the_view() -> None:
    """Nothing is read for a view that does not look at it."""
    app, body = an_app(), BytesIO(b"a" * 1001)
    tokens = signed_in(app)
    response = call(app, "POST", "/me", access=tokens.access_token, input_stream=body, content_length=1001)
    assert (response.status_code, len(body.read())) == (200, 1001)


class BrokenStream:
    """A body whose chunks are none."""

    def read(self, _: int = -1) -> bytes:
        raise OSError("invalid chunk size")


def test_a_body_that_cannot_be_read_changes_nothing_of_the_refusal() -> None:
    """The refusal is the response all the same, and its tokens are cleared."""
    app = an_app()
    environ = {"wsgi.input": BrokenStream(), "wsgi.input_terminated": True}
    response = call(app, "POST", "/refresh", access="x", environ_overrides=environ)
    assert (response.status_code, cleared_methods(response)) == (401, {"cookie", "header"})


def test_a_body_is_left_to_an_app_that_swallows_the_refusal() -> None:
    """The body is left to it: its response is no refusal."""
    app = an_app()

    def view() -> Any:
        with contextlib.suppress(SuperTokensError):
            get_session()
        return Response(stream_with_context(iter(lambda: request.stream.read(4), b"")))

    app.add_url_rule("/echo", view_func=view, methods=["POST"])
    assert call(app, "POST", "/echo", data=b"hello world").data == b"hello world"
