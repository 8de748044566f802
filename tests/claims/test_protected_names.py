"""Names of a payload that belong to the protocol: refused where they would say something else, dropped where they say what is."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from flask_supertokens import (
    Session,
    create_jwt,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session,
    get_session_information,
    get_session_without_request,
    merge_into_access_token_payload,
)
from flask_supertokens.claims import PrimitiveClaim
from flask_supertokens.engines.embedded import EmbeddedEngine
from flask_supertokens.protocol.payloads import PROTECTED_NAMES

from ..support.apps import a_session, signed_in, state_of
from ..support.both import ENGINES, Make, maker
from ..support.wire import run

make = pytest.fixture(maker, params=ENGINES)
OTHER = "said otherwise"
NAMES = sorted(PROTECTED_NAMES)


@pytest.fixture
def app(make: Make) -> Flask:
    return make()


def stored(app: Flask, session: Session) -> dict[str, Any]:
    with app.app_context():
        found = get_session_information(session.handle)
    assert found is not None
    return found.access_token_payload


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_protocol_in_a_new_session_is_a_value_error(app: Flask, name: str) -> None:
    """A ValueError names it, and there is no session."""
    for create in (create_new_session, create_new_session_without_request):
        with app.test_request_context(), pytest.raises(ValueError, match=f"access_token_payload .* {name}[.,]"):
            create("user-1", {name: OTHER, "role": "x"})
    with app.app_context():
        assert state_of(app).engine.sessions_of("user-1", None) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_protocol_in_a_merge_is_a_value_error_and_nothing_is_merged(app: Flask, name: str) -> None:
    """A ValueError names it, in the session's method and by handle; nothing is merged."""
    session = a_session(app)
    before = stored(app, session)
    with app.app_context():
        with pytest.raises(ValueError, match=f"update .* {name}[.,]"):
            session.merge_into_access_token_payload({name: OTHER, "role": "x"})
        with pytest.raises(ValueError, match=f"update .* {name}[.,]"):
            merge_into_access_token_payload(session.handle, {name: OTHER, "role": "x"})
    assert stored(app, session) == before


@pytest.mark.parametrize("name", sorted(PROTECTED_NAMES - {"parentRefreshTokenHash1"}))
def test_a_merge_that_deletes_a_name_of_the_protocol_is_a_value_error(app: Flask, name: str) -> None:
    """A ValueError, whether the session has it or not."""
    session = a_session(app, anti_csrf=True)
    with app.app_context():
        with pytest.raises(ValueError, match=f"update .* {name}[.,]"):
            session.merge_into_access_token_payload({name: None})
        with pytest.raises(ValueError, match=f"update .* {name}[.,]"):
            merge_into_access_token_payload(session.handle, {name: None})


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_protocol_from_the_hook_is_a_value_error(make: Make, name: str) -> None:
    """A ValueError names hook and name."""
    app = make(before_session_created=lambda user_id, payload: {**payload, name: OTHER})
    with pytest.raises(ValueError, match=f"before_session_created .* {name}[.,]"):
        a_session(app)


def test_several_names_of_the_protocol_are_told_at_once_in_order(app: Flask) -> None:
    """In the order of the alphabet; what was passed stays as it was."""
    payload = {"sub": "root", "exp": 0, "role": "x", "tId": "public"}
    with pytest.raises(ValueError, match=r"exp, sub[.]"):
        a_session(app, access_token_payload=payload)
    assert payload == {"sub": "root", "exp": 0, "role": "x", "tId": "public"}


def test_names_of_the_protocol_are_dropped_from_a_payload_that_is_handed_back_whole(app: Flask) -> None:
    """To its own session, by both ways, and again after it has changed: the names of the protocol are dropped in silence."""
    session = a_session(app, anti_csrf=True)
    first = session.access_token_payload
    clock = state_of(app).engine.clock  # type: ignore[attr-defined]
    with app.app_context():
        for role in ("a", "b"):
            clock.wait(2000)
            session.merge_into_access_token_payload({**first, "role": role})
            session.merge_into_access_token_payload({**session.access_token_payload, "more": role})
        session.reauthenticate()
        session.merge_into_access_token_payload({**first, "again": 1})
        assert merge_into_access_token_payload(
            session.handle, {**session.get_information().access_token_payload, "x": 1}
        )
    claims = session.access_token_payload
    assert (claims["role"], claims["more"], claims["again"], claims["sub"]) == ("b", "b", 1, "user-1")
    assert claims["auth_time"] == stored(app, session)["auth_time"] != first["auth_time"]


def test_the_payload_of_a_request_may_be_handed_on_to_a_new_session(app: Flask) -> None:
    """To a new session of the same request, and by handle; also when the hook returns it whole."""
    old = a_session(app, access_token_payload={"role": "x"})
    clock = state_of(app).engine.clock  # type: ignore[attr-defined]
    clock.wait(2000)
    with app.test_request_context(headers={"Authorization": f"Bearer {old.access_token}"}):
        current = get_session()
        assert current is not None
        whole = current.access_token_payload
        assert merge_into_access_token_payload(current.handle, {**whole, "more": 1})
        new = create_new_session("user-1", whole)
    assert (new.access_token_payload["role"], new.handle == old.handle) == ("x", False)
    assert new.access_token_payload["auth_time"] == whole["auth_time"] + 2


def test_names_that_the_new_session_will_say_are_no_contradiction(make: Make) -> None:
    """Is no contradiction: user, tenant, issuer."""
    app = make(before_session_created=lambda user_id, payload: {**payload, "sub": user_id}, issuer="me", audience="you")
    mine = {"sub": "u", "rsub": "u", "tId": "public", "iss": "me", "aud": "you", "a": 1}
    claims = a_session(app, "u", access_token_payload=mine).access_token_payload
    assert {name: claims[name] for name in mine} == mine


def test_a_merge_into_a_session_that_is_gone_is_false_in_spite_of_protected_names(app: Flask) -> None:
    """There is nothing to compare with: ``False``, as without such names."""
    with app.app_context():
        assert merge_into_access_token_payload("no session", {"sub": "x"}) is False


def test_a_claim_that_brings_a_name_of_the_protocol_is_a_value_error(make: Make) -> None:
    """One of the app's own making, whose key was good: a ValueError, not a new moment of the log-in."""

    class Odd(PrimitiveClaim[int]):
        def fetch(self, user_id: str, tenant_id: str, payload: dict[str, Any]) -> dict[str, Any]:
            return {"auth_time": 1}

    with pytest.raises(ValueError, match="auth_time"):
        a_session(make(claims=[Odd("odd", lambda *_: 1)]))


def test_a_jwt_may_say_names_of_the_protocol(app: Flask) -> None:
    """It is no session's."""
    with app.app_context():
        assert create_jwt({"sub": "x", "iss": "y"}, validity=60)


@pytest.mark.parametrize("seconds_later", [0, 5])
def test_the_payload_of_any_access_token_sets_nothing_when_it_is_handed_on(make: Make, seconds_later: int) -> None:
    """That of any access token sets nothing, whenever and wherever: after a revoke, twice in one request, of another session."""
    app = make()
    tokens = signed_in(app)
    state_of(app).engine.clock.wait(1000 * seconds_later)  # type: ignore[attr-defined]

    def view() -> list[str]:
        payload = current_session.access_token_payload
        current_session.revoke()
        made = create_new_session("user-2", payload)
        made.merge_into_access_token_payload(payload)
        return [create_new_session("user-3", payload).user_id, made.user_id]

    assert run(app, view, verified=True, access=tokens.access_token).json == ["user-3", "user-2"]


def test_a_moment_of_a_sign_in_cannot_be_set_even_to_this_second(make: Make) -> None:
    """Also when it is this very second, it is a name of the session's own."""
    app = make()
    with app.app_context(), pytest.raises(ValueError, match="auth_time"):
        create_new_session_without_request("user-1", {"auth_time": state_of(app).engine.now() // 1000})


def test_a_stored_payload_may_be_handed_back_after_a_step_up_elsewhere(make: Make) -> None:
    """What the row says is what is, though the token of this tab does not say it yet."""
    app = make()
    old = a_session(app)
    with app.app_context():
        state_of(app).engine.clock.wait(5000)  # type: ignore[attr-defined]
        other = get_session_without_request(old.access_token)
        other.reauthenticate()
        payload = old.get_information().access_token_payload
        if isinstance(state_of(app).engine, EmbeddedEngine):
            old.merge_into_access_token_payload({**payload, "seen": True})
            assert old.get_information().access_token_payload["seen"] is True
