"""A refresh beside the least that it could be: the same statements and one signature, or the same HTTP call, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from flask import Flask
from sqlalchemy import bindparam, select, update

from flask_supertokens.stores.schema import sessions

from .figures import Table
from .operations import NEW, Chain
from .ours import database_of, engine_of, log_in, speed_up_clock
from .rounds import Call, compute_medians, run_interleaved, time_calls
from .services import Services
from .wsgi import call, cookies

SQL = "SELECT; UPDATE; COMMIT and a signature"
EMBEDDED = "refresh on SQLite, the engine"
FLASK = "refresh on SQLite, the whole request"
BARE_HTTP = "the call to a core by requests"
REMOTE = "refresh on a core, the engine"
CDI = {"cdi-version": "5.4"}
_BODY = {"userDataInJWT": NEW.payload, "userDataInDatabase": {}, "enableAntiCsrf": False}
_SELECT = select(sessions).where(sessions.c.handle == bindparam("h"))
_UPDATE = (
    update(sessions)
    .where(sessions.c.handle == bindparam("h"))
    .values(current_hash2=bindparam("fingerprint"), refreshed_at=bindparam("now"), expires_at=bindparam("end"))
)


def measure(services: Services) -> Table:
    app = speed_up_clock(services.app(REFRESH_RACE_WINDOW=0))
    remote = services.app(CONNECTION_URI=services.core)
    calls = {
        SQL: make_bare_sql(app),
        EMBEDDED: Chain(engine_of(app)).refresh,
        FLASK: make_whole_requests(app),
        BARE_HTTP: make_bare_calls(services.core),
        REMOTE: Chain(engine_of(remote)).refresh,
    }
    cases = {name: time_calls(act, services.effort.calls) for name, act in calls.items()}
    return Table("A refresh", "µs", compute_medians(run_interleaved(cases, services.effort.rounds)))


def make_bare_sql(app: Flask) -> Call:
    """Read and change a session's row in one transaction of the app's SQLAlchemy engine, and sign a token's claims."""
    access = engine_of(app).create(NEW).access
    database = database_of(app)
    assert database is not None, "an embedded engine on SQL"
    key, claims, handle = ec.generate_private_key(ec.SECP256R1()), access.claims, access.handle

    def refresh() -> None:
        with database.begin() as connection:
            row = connection.execute(_SELECT, {"h": handle}).one()
            later = {"now": row.refreshed_at + 1, "end": row.expires_at + 1}
            connection.execute(_UPDATE, {"h": handle, "fingerprint": row.current_hash2[::-1], **later})
        jwt.encode(claims, key, algorithm="ES256")

    return refresh


def make_whole_requests(app: Flask) -> Call:
    """POST /refresh over and over, by a browser."""
    sent = [cookies(log_in(app), "/refresh")]

    def refresh() -> None:
        sent[0] = cookies(call(app, "POST", "/refresh", sent[0]), "/refresh")

    refresh()
    return refresh


def make_bare_calls(uri: str) -> Call:
    """What the remote engine sends, by a `requests.Session` and nothing else."""
    http_session = requests.Session()

    def post(path: str, **body: Any) -> str:
        response = http_session.post(uri + path, data=json.dumps(body), headers=CDI)
        token: str = response.json()["refreshToken"]["token"]
        return token

    token = [post("/recipe/session", userId="user-1", **_BODY)]

    def refresh() -> None:
        asked = {"refreshToken": token[0], "enableAntiCsrf": False, "useDynamicSigningKey": True}
        token[0] = post("/recipe/session/refresh", **asked)

    return refresh
