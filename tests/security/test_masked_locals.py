"""What a debugger or an error tracker that shows locals sees of tokens when the app's own code fails below ours: nothing.

An operation is run once to count the moments in which the app's code, or its store, is called. Then it is run again for each of
them, which fails, and the locals of all frames of the package are searched as `repr` shows them.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import secrets
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, ClassVar

import pytest
from flask import Flask
from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool

import flask_supertokens
from flask_supertokens import (
    Session,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session_without_request,
    merge_into_access_token_payload,
    refresh_session_without_request,
    signals,
    verify_session,
)
from flask_supertokens.claims import ClaimValidationResult, PrimitiveClaim, SessionClaimValidator
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import add_usual_views, build_app, state_of, whoami
from ..support.plans import HOUR, Clock
from ..support.served import a_core
from ..support.wire import call

PACKAGE = str(pathlib.Path(flask_supertokens.__file__).parent)
TOKEN = re.compile(r"[\w-]{40,}\.[\w-]{40,}")
"""An access token or a refresh token, whole or its end, also one that nobody outside has seen yet."""
KINDS = ("embedded", "sql", "remote")
VERBS = frozenset({*Store.__abstractmethods__, "row"}) - {"of_app", "create_tables"}


class Broken(Exception):
    """What the app's own code raises."""


class Fuse:
    """Counts the moments in which the app's code is called, and fails in one of them."""

    minted: ClassVar[set[str]] = set()

    def __init__(self) -> None:
        self.fails_at, self.moment = -1, -1
        self.secrets: set[str] = set()
        self.shown: set[str] = set()

    def here(self) -> None:
        self.moment += 1
        if self.moment == self.fails_at:
            frame: FrameType | None = sys._getframe(1)
            while frame is not None:
                self._search(frame)
                frame = frame.f_back
            raise Broken

    def _search(self, frame: FrameType) -> None:
        file, _, function = frame.f_code.co_filename.partition(f"{PACKAGE}/")[2], None, frame.f_code.co_name
        for name, value in frame.f_locals.items():
            if not file and not type(value).__module__.startswith("flask_supertokens"):
                continue
            with contextlib.suppress(RuntimeError):  # a proxy to what is not there
                text = repr(value)
                if TOKEN.search(text) or any(secret in text for secret in self.secrets | self.minted):
                    self.shown.add(f"{file or type(value)}: {function}: {name}")


@pytest.fixture(autouse=True)
def minted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random texts as they are made: anti-CSRF tokens that nobody has seen yet."""
    made: set[str] = set()
    make = secrets.token_urlsafe

    def remembered(size: int | None = None) -> str:
        made.add(text := make(size))
        return text

    monkeypatch.setattr(secrets, "token_urlsafe", remembered)
    monkeypatch.setattr(Fuse, "minted", made)


class FusedStore(MemoryStore):
    """A store of the app's own."""

    fuse = Fuse()

    def __getattribute__(self, name: str) -> Any:
        verb = super().__getattribute__(name)
        if name not in VERBS:
            return verb

        def fused(*arguments: Any) -> Any:
            self.fuse.here()
            return verb(*arguments)

        return fused


class FusedValidator(SessionClaimValidator):
    fuse = Fuse()

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        self.fuse.here()
        return True

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        self.fuse.here()
        return ClaimValidationResult(True)


# -- an app whose own code is called wherever that is possible ---------------------------------------------------------


def fused(fuse: Fuse, answer: Callable[..., Any]) -> Callable[..., Any]:
    def hook(*given: Any, **named: Any) -> Any:
        fuse.here()
        return answer(*given, **named)

    return hook


def hooks(fuse: Fuse) -> dict[str, Any]:
    claim = PrimitiveClaim("c", fused(fuse, lambda *_: "x"))
    validator = FusedValidator("v", claim)
    validator.fuse = fuse
    return {
        "claims": [claim],
        "claim_validators": [validator],
        "user_exists": fused(fuse, lambda _: True),
        "before_session_created": fused(fuse, lambda _, payload: payload),
    }


def parts(kind: str, fuse: Fuse, clock: Clock, request: pytest.FixtureRequest) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and arguments of `SuperTokens`."""
    if kind == "remote":
        uri, put = request.getfixturevalue("core_server")
        put(a_core(MemoryStore(), clock, *request.getfixturevalue("keys_of_a_core")))
        return {"SUPERTOKENS_CONNECTION_URI": uri}, {"core_hooks": [fused(fuse, lambda _: None)]}
    if kind == "embedded":
        store = FusedStore()
        store.fuse = fuse
        return {}, {"store": store}
    one: Any = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "connect_args": {"check_same_thread": False}}
    engine = create_engine("sqlite://", **one)
    event.listen(engine, "before_cursor_execute", fused(fuse, lambda *_: None))
    request.addfinalizer(engine.dispose)
    return {}, {"database_engine": engine}


def make_app(kind: str, fuse: Fuse, request: pytest.FixtureRequest) -> Flask:
    clock = Clock()
    settings, arguments = parts(kind, fuse, clock, request)
    app = build_app(
        add_usual_views,
        clock=clock,
        store=arguments.pop("store", None),
        hooks={**arguments, **hooks(fuse)},
        cookie_secure=False,
        anti_csrf="VIA_TOKEN",
        token_transfer_method=fused(fuse, lambda *_: "any"),
        TESTING=True,
        **settings,
    )
    app.supertokens.user_loader(fused(fuse, lambda user_id: user_id))  # type: ignore[attr-defined]
    for name, signal in vars(signals).items():
        if hasattr(signal, "connect") and not name.startswith("_"):
            signal.connect(fused(fuse, lambda *_, **__: None), app, weak=False)
    app.add_url_rule("/checked", "checked", verify_session(check_database=True)(whoami))
    app.add_url_rule("/act", "act", verify_session(lambda: str(app.config["ACT"]())))
    return app


class Life:
    """A session in the middle of its life, and what its client holds: the tokens of a refresh that were not used yet."""

    def __init__(self, app: Flask, fuse: Fuse) -> None:
        self.app, self.fuse = app, fuse
        with app.app_context():
            first = create_new_session_without_request("user-1", {"x": 1}, anti_csrf=True).tokens
            state_of(app).engine.clock.wait(HOUR)  # type: ignore[attr-defined]
            self.session: Session = refresh_session_without_request(str(first.refresh_token))
        tokens = self.session.tokens
        self.access, self.refresh, self.stale = (
            self.session.access_token,
            str(tokens.refresh_token),
            str(first.refresh_token),
        )
        self.anti_csrf = str(first.anti_csrf_token)
        fuse.secrets = {self.access, self.refresh, self.stale, self.anti_csrf}

    def ask(self, method: str, path: str, **tokens: Any) -> Any:
        return call(self.app, method, path, headers={"anti-csrf": self.anti_csrf}, **tokens)

    def act(self, action: Callable[[], Any]) -> Any:
        self.app.config["ACT"] = action
        return self.ask("GET", "/act", access=self.access)

    def whole(self) -> dict[str, Any]:
        return {**current_session.access_token_payload, "role": "x"}


def theft(life: Life) -> Any:
    life.ask("GET", "/me", access=life.access)
    state_of(life.app).engine.clock.wait(HOUR)  # type: ignore[attr-defined]
    life.ask("POST", "/refresh", refresh=life.refresh)
    return life.ask("POST", "/refresh", refresh=life.stale)


OPERATIONS: dict[str, Callable[[Life], Any]] = {
    "log in": lambda life: life.ask("POST", "/login", access=life.access, refresh=life.refresh),
    "log in by header": lambda life: life.ask("POST", "/login", bearer=life.access, refresh=life.refresh),
    "log in over a refresh token": lambda life: life.ask("POST", "/login", refresh=life.refresh),
    "first use": lambda life: life.ask("GET", "/me", access=life.access),
    "first use by header": lambda life: life.ask("POST", "/me", bearer=life.access),
    "checked": lambda life: life.ask("GET", "/checked", access=life.access),
    "refresh by cookie": lambda life: life.ask("POST", "/refresh", access=life.access, refresh=life.refresh),
    "refresh by lone cookie": lambda life: life.ask("POST", "/refresh", refresh=life.refresh),
    "refresh by header": lambda life: life.ask("POST", "/refresh", bearer=life.refresh, refresh=life.refresh),
    "theft": theft,
    "sign out": lambda life: life.ask("POST", "/signout", access=life.access),
    "user": lambda life: life.act(lambda: current_session.user),
    "merge": lambda life: life.act(lambda: current_session.merge_into_access_token_payload(life.whole())),
    "merge by handle": lambda life: life.act(
        lambda: merge_into_access_token_payload(current_session.handle, life.whole())
    ),
    "step up": lambda life: life.act(lambda: [current_session.reauthenticate()]),
    "log in with a whole payload": lambda life: life.act(
        lambda: create_new_session("user-1", current_session.access_token_payload)
    ),
    "create": lambda life: create_new_session_without_request("user-1", {"x": 1}, anti_csrf=True),
    "verify": lambda life: get_session_without_request(
        life.access, anti_csrf_token=life.anti_csrf, anti_csrf_check=True, check_database=True
    ),
    "refresh": lambda life: refresh_session_without_request(life.refresh, anti_csrf_token=life.anti_csrf),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_no_frame_of_ours_shows_a_token_where_the_app_s_own_code_fails(
    kind: str, operation: str, request: pytest.FixtureRequest
) -> None:
    """In a hook, a receiver, its store or its database engine: no frame of ours shows a token, in none of these moments."""
    shown: set[str] = set()
    fails_at, moments = -1, 0
    while fails_at < moments:
        fuse = Fuse()
        life = Life(make_app(kind, fuse, request), fuse)
        fuse.fails_at, fuse.moment = fails_at, -1
        with life.app.app_context(), contextlib.suppress(Broken):
            OPERATIONS[operation](life)
        moments = max(moments, fuse.moment + 1) if fails_at < 0 else moments
        shown |= fuse.shown
        fails_at += 1
    assert moments > 0
    assert not shown, "\n".join(sorted(shown))


# -- a core ------------------------------------------------------------------------------------------------------------

NEW = {
    "userId": "u",
    "userDataInJWT": {},
    "userDataInDatabase": {},
    "enableAntiCsrf": True,
    "useDynamicSigningKey": True,
}
CALLS: dict[str, tuple[str, Callable[[Any], dict[str, Any]]]] = {
    "create": ("session", lambda _: NEW),
    "verify": (
        "session/verify",
        lambda made: {
            "accessToken": made["accessToken"]["token"],
            "enableAntiCsrf": True,
            "doAntiCsrfCheck": True,
            "checkDatabase": True,
            "antiCsrfToken": made["antiCsrfToken"],
        },
    ),
    "refresh": (
        "session/refresh",
        lambda made: {
            "refreshToken": made["refreshToken"]["token"],
            "enableAntiCsrf": True,
            "antiCsrfToken": made["antiCsrfToken"],
            "useDynamicSigningKey": True,
        },
    ),
    "regenerate": (
        "session/regenerate",
        lambda made: {"accessToken": made["accessToken"]["token"], "userDataInJWT": {"a": 1}},
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_no_frame_of_a_core_shows_a_token_where_its_store_fails(name: str, keys_of_a_core: list[SigningKey]) -> None:
    """Its routes show no token either."""
    shown: set[str] = set()
    for fails_at in range(12):
        fuse, store = Fuse(), FusedStore()
        store.fuse = fuse
        client = make_core_app(a_core(store, Clock(), *keys_of_a_core)).test_client()
        made = client.post("/recipe/session", json=NEW).json
        assert made is not None
        path, body = CALLS[name]
        fuse.secrets = {made[token]["token"] for token in ("accessToken", "refreshToken")} | {made["antiCsrfToken"]}
        fuse.fails_at, fuse.moment = fails_at, -1
        with contextlib.suppress(Broken):
            client.application.testing = True
            client.post(f"/recipe/{path}", json=body(made))
        shown |= fuse.shown
    assert not shown, "\n".join(sorted(shown))
