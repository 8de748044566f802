"""Uploads that are refused, through a real nginx to gunicorn: the client reads the refusal, not a 502 of nginx."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.support.gunicorn import gunicorn
from tests.support.nginx import nginx

MEGABYTE = 1_000_000
LIFETIME = 1
TOLD = (401, "try refresh token")
APP = """
from flask import Flask, jsonify
from flask_restful import Api, Resource
from flask_restx import Api as RestX, Resource as RestXResource
from flask_supertokens import SuperTokens, SuperTokensError, create_new_session, verify_session

app = Flask(__name__)
app.config.update(
    SECRET_KEY="a secret of the tests",
    SUPERTOKENS_DATABASE_URI="sqlite:///{folder}/sessions.sqlite3",
    SUPERTOKENS_ACCESS_TOKEN_LIFETIME={lifetime},
    SUPERTOKENS_COOKIE_SECURE=False,
)
SuperTokens(app)


@app.post("/login")
def login():
    create_new_session("user-1")
    return {{"status": "OK"}}


@app.post("/plain")
@verify_session
def plain():
    return {{"status": "OK"}}


class Upload(Resource):
    method_decorators = [verify_session]

    def post(self):
        return {{"status": "OK"}}


class XUpload(RestXResource):
    method_decorators = [verify_session]

    def post(self):
        return {{"status": "OK"}}


Api(app).add_resource(Upload, "/restful")
RestX(app, doc=False).add_resource(XUpload, "/restx")
"""
OWN_HANDLER = """

@app.errorhandler(SuperTokensError)
def refuse(error):
    return jsonify(message=error.message), error.code
"""
SYNC = ("--workers", "2")
THREADS = ("--worker-class", "gthread", "--threads", "4")
Serve = Callable[..., str]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Serves an app by gunicorn behind nginx, which takes large bodies; its address."""
    with contextlib.ExitStack() as stack:

        def serve(more: str = "", options: tuple[str, ...] = SYNC) -> str:
            (tmp_path / "served.py").write_text(APP.format(folder=tmp_path, lifetime=LIFETIME) + more, "utf-8")
            upstream = stack.enter_context(gunicorn(tmp_path, "served:app", *options))
            port = stack.enter_context(nginx(tmp_path, upstream, "client_max_body_size 200m;"))
            return f"http://127.0.0.1:{port}"

        yield serve


def uploads(address: str, path: str, size: int, times: int) -> Counter[tuple[int, str | None]]:
    """What a client with an expired token is answered when it uploads so many bytes."""
    with requests.Session() as client:
        assert client.post(f"{address}/login", timeout=30).status_code == 200
        time.sleep(LIFETIME + 0.1)
        seen: Counter[tuple[int, str | None]] = Counter()
        for _ in range(times):
            answer = client.post(address + path, data=b"a" * size, timeout=60)
            seen[answer.status_code, _message(answer)] += 1
    return seen


def _message(answer: requests.Response) -> str | None:
    return str(answer.json()["message"]) if "json" in answer.headers["Content-Type"] else None


@pytest.mark.parametrize("options", [SYNC, THREADS], ids=["sync", "threads"])
def test_an_upload_with_an_expired_token_is_told_to_refresh(serve: Serve, options: tuple[str, ...]) -> None:
    """From 1 to 60 megabytes, each time: the client is told to refresh."""
    address = serve(options=options)
    for size, times in ((1, 12), (5, 12), (20, 12), (60, 4)):
        assert (size, uploads(address, "/plain", size * MEGABYTE, times)) == (size, {TOLD: times})


@pytest.mark.parametrize(
    ("path", "more"), [("/plain", OWN_HANDLER), ("/restful", ""), ("/restx", "")], ids=["own", "restful", "restx"]
)
def test_an_upload_is_told_to_refresh_where_somebody_else_renders_the_refusal(
    serve: Serve, path: str, more: str
) -> None:
    """A handler of the app's own, or a framework that answers errors itself: the same."""
    assert uploads(serve(more), path, 20 * MEGABYTE, 8) == {TOLD: 8}
