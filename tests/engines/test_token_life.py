"""Only a refresh lengthens an access token, and only `Session.reauthenticate` makes a log-in fresh: for every way to get one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from flask_supertokens import Session, current_session, get_session_without_request, verify_session
from flask_supertokens.claims import PrimitiveClaim
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.engines.embedded import EmbeddedEngine

from ..support.apps import a_session, an_app, clock_of, signed_in, state_of
from ..support.both import ENGINES, Make, maker
from ..support.cookies import set_cookies
from ..support.engines import a_session as new_session
from ..support.engines import present, refresh_grant, tokens_of
from ..support.plans import HOUR, SECOND, Clock
from ..support.wire import call, contents, run

MINUTE = 60 * SECOND
PLAN = PrimitiveClaim[str]("plan", lambda *_: "pro")
Give = Callable[[EmbeddedEngine, Any, Clock], Any]


def confirm(engine: EmbeddedEngine, grant: Any, clock: Clock) -> Any:
    clock.wait(MINUTE)
    return engine.verify(grant.access)


def asked_of_the_database(engine: EmbeddedEngine, grant: Any, clock: Clock) -> Any:
    engine.merge_payload(grant.access.handle, {"role": "user"})
    return engine.verify(grant.access, check_database=True)


WAYS: dict[str, Give] = {
    "confirm": confirm,
    "check_database": asked_of_the_database,
    "regenerate": lambda engine, grant, clock: engine.regenerate(grant.access, {"role": "user"}),
    "regenerate over CDI": lambda engine, grant, clock: engine.regenerate_with(grant.access, {"role": "user"}),
    "reauthenticate": lambda engine, grant, clock: engine.regenerate(grant.access, {"auth_time": clock.now // SECOND}),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_token_that_takes_another_one_s_place_is_new_and_expires_with_it(
    way: str, engine: EmbeddedEngine, clock: Clock
) -> None:
    """It is new, and expires when the presented one does."""
    grant = refresh_grant(engine, engine.create(new_session()))
    engine.verify(grant.access)
    clock.wait(HOUR // 2)
    given = tokens_of(WAYS[way](engine, grant, clock))
    assert given.access_token != grant.access.raw
    assert present(engine, given.access_token).expires_at == grant.access.expires_at == given.access_token_expires_at


@pytest.mark.parametrize("way", ["confirm", "check_database", "regenerate"])
def test_a_token_from_before_the_step_up_keeps_its_auth_time_until_the_next_refresh(
    way: str, engine: EmbeddedEngine, clock: Clock
) -> None:
    """What takes its place has its ``auth_time``, whatever stands in the row; the next refresh has the row's."""
    first = engine.create(new_session(payload={"auth_time": 1_600_000_000}))
    old = refresh_grant(engine, first)
    engine.verify(old.access)
    clock.wait(SECOND)
    new = engine.regenerate(old.access, {"auth_time": 1_700_000_000})
    assert new.access.claims["auth_time"] == 1_700_000_000
    clock.wait(MINUTE)
    assert WAYS[way](engine, old, clock).access.claims["auth_time"] == 1_600_000_000
    assert refresh_grant(engine, old).access.claims["auth_time"] == 1_700_000_000


def test_a_step_up_alone_is_no_news_for_the_database(engine: EmbeddedEngine, clock: Clock) -> None:
    """An old token that asks the database stays as it is: there is nothing else to tell it."""
    old = engine.create(new_session(payload={"auth_time": 1_600_000_000}))
    engine.regenerate(old.access, {"auth_time": 1_700_000_000})
    assert engine.verify(old.access, check_database=True).tokens is None


def test_a_session_that_says_nothing_of_its_sign_in_says_nothing_after_a_step_up(
    engine: EmbeddedEngine, clock: Clock
) -> None:
    """Made by another SDK: what takes its token's place says nothing either, also after a step-up."""
    old = engine.create(new_session())
    engine.regenerate(old.access, {"auth_time": 1_700_000_000})
    assert "auth_time" not in asked_of_the_database(engine, old, clock).access.claims


# -- through the app ---------------------------------------------------------------------------------------------------


def stays_alive(app: Flask, token: str, change: Callable[[], Any]) -> int:
    """For how many half hours a copied access token is kept alive: a view changes the payload, one asks the database."""
    for rounds in range(864):
        new = token
        for action in (change, lambda: "read"):
            response = run(
                app, verify_session(check_database=True)(lambda action=action: action() or "ok"), access=token
            )
            if response.status_code != 200:
                return rounds
            new = set_cookies(response)["sAccessToken"].value if "sAccessToken" in set_cookies(response) else new
        token = new
        clock_of(app).wait(HOUR // 2)
    return 864


@pytest.mark.parametrize(
    "change",
    [
        lambda: current_session.merge_into_access_token_payload({"seen": secrets.token_hex(4)}),
        lambda: current_session.set_claim_value(PLAN, secrets.token_hex(4)),
        lambda: Session.reauthenticate(current_session),
    ],
    ids=["merge", "claim", "reauthenticate"],
)
def test_a_copied_access_token_that_is_always_used_dies_when_it_says(change: Callable[[], Any]) -> None:
    """It dies when it says it does, at the second half hour."""
    app = an_app()
    assert stays_alive(app, signed_in(app).access_token, change) == 2


def test_a_copy_from_before_the_step_up_passes_no_view_that_wants_a_fresh_sign_in(make: Make) -> None:
    """It passes no view that wants a fresh log-in, with the database or without; on a core it is told to refresh."""
    app = make()
    session = a_session(app)
    old = session.access_token
    clock_of(app).wait(2 * MINUTE)
    with app.app_context():
        session.reauthenticate()
    view = verify_session(max_age=60, check_database=True)(lambda: "in")
    assert run(app, view, access=old).status_code in (401, 403)
    changed = run(app, verify_session(lambda: current_session.merge_into_access_token_payload({"a": 1})), access=old)
    for token in [old, *(cookie.value for name, cookie in set_cookies(changed).items() if name == "sAccessToken")]:
        assert run(app, view, access=token).status_code in (401, 403)
    assert run(app, view, access=session.access_token).status_code == 200


def test_the_owner_s_tokens_keep_the_fresh_moment_after_a_refresh(make: Make) -> None:
    """The refreshed tokens, and all after them, keep the fresh moment."""
    app = make()
    tokens = signed_in(app)
    with app.app_context():
        session: Session = get_session_without_request(tokens.access_token)
        clock_of(app).wait(2 * MINUTE)
        session.reauthenticate()
        fresh = session.authenticated_at
    response = call(app, "POST", "/refresh", refresh=tokens.refresh_token)
    claims = contents(set_cookies(response)["sAccessToken"].value)[1]
    assert claims["auth_time"] * SECOND == fresh


def test_only_create_and_refresh_give_a_full_life() -> None:
    """Create and refresh alone give a full life, also to a token that is still young (the echo)."""
    app = an_app()
    engine = state_of(app).engine
    first = engine.create(new_session())
    child = engine.refresh(RefreshRequest(tokens_of(first).refresh_token or ""))
    clock_of(app).wait(10 * SECOND)
    echo = engine.refresh(RefreshRequest(tokens_of(child).refresh_token or ""))
    assert echo.access.expires_at == child.access.expires_at + 10 * SECOND


@pytest.fixture(params=ENGINES)
def make(request: pytest.FixtureRequest) -> Make:
    return maker(request)
