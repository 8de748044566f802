"""Session claims: built, fetched, judged, set by hand; on both engines."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    InvalidClaimError,
    Session,
    SuperTokens,
    UnauthorisedError,
    claims,
    create_new_session,
    create_new_session_without_request,
    current_session,
    get_session,
    get_session_information,
    get_session_without_request,
    refresh_session_without_request,
    revoke_session,
    verify_session,
)
from flask_supertokens.claims import (
    BooleanClaim,
    ClaimValidationResult,
    PrimitiveArrayClaim,
    PrimitiveClaim,
    SessionClaim,
    SessionClaimValidator,
)
from flask_supertokens.engines.embedded import engine as embedded_engine
from flask_supertokens.engines.embedded import rows
from flask_supertokens.engines.remote import engine as remote
from flask_supertokens.protocol import claims as rules
from flask_supertokens.protocol.payloads import PROTECTED_NAMES
from flask_supertokens.sessions import arguments, validators

from ..support.apps import a_session, add, handles, signed_in, state_of
from ..support.both import Make
from ..support.cookies import set_cookies
from ..support.names import spell
from ..support.plans import Clock
from ..support.wire import assert_response, call, cleared_methods, contents, front, handed_out, run, sets_no_tokens

SECOND = 1000
NOW = 1_700_000_000_000


class Fetcher:
    """A ``fetch_value`` that answers what it is told to and notes what it was asked."""

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.asked: list[tuple[str, str, dict[str, Any]]] = []

    def __call__(self, user_id: str, tenant_id: str, payload: dict[str, Any]) -> Any:
        self.asked.append((user_id, tenant_id, dict(payload)))
        return self.value


class Own(SessionClaimValidator):
    """A validator made of a function."""

    def __init__(self, answer: Callable[[dict[str, Any]], Any], claim: Any = None, refetch: Any = False) -> None:
        super().__init__("own", claim)
        self.answer = answer
        self.refetch = refetch

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        return self.refetch() if callable(self.refetch) else self.refetch

    def validate(self, payload: dict[str, Any]) -> Any:
        return self.answer(payload)


def of(value: Any, at: int = NOW) -> dict[str, Any]:
    """A payload with the claim ``c``."""
    return {"c": {"v": value, "t": at}}


def errors(app: Flask, session: Session, *validators: SessionClaimValidator) -> list[Any]:
    """What validators find wrong with a session."""
    with app.app_context():
        try:
            session.assert_claims(validators)
        except InvalidClaimError as error:
            return error.errors
    return []


def asking(app: Flask, validators: Any, token: str) -> TestResponse:
    """A request to a view with these validators; it answers the payload."""
    return run(app, lambda: get_session(claim_validators=validators).access_token_payload, access=token)  # type: ignore[union-attr]


# -- what validators ask -----------------------------------------------------------------------------------------------

TEXT = PrimitiveClaim("c", lambda *_: "text")
FLAG = BooleanClaim("c", lambda *_: True)
ROLES: PrimitiveArrayClaim[Any] = PrimitiveArrayClaim("c", lambda *_: [])
V: Any = ROLES.validators


@pytest.mark.parametrize(
    ("validator", "value"),
    [
        (TEXT.validators.has_value("a"), "a"),
        (PrimitiveClaim("c", Fetcher()).validators.has_value(0), 0),
        (FLAG.validators.is_true(), True),
        (FLAG.validators.is_false(), False),
        (FLAG.validators.has_value(True), True),
        (V.includes("a"), ["a", "b"]),
        (V.excludes("c"), ["a", "b"]),
        (V.excludes("c"), []),
        (V.includes_all(["a", "b"]), ["b", "a", "c"]),
        (V.includes_all([]), []),
        (V.includes_any(("x", "a")), ["a"]),
        (V.excludes_all({"x"}), ["a"]),
        (V.excludes_all(iter(["x"])), ["a"]),
    ],
)
def test_a_value_as_asked_for_passes_and_is_not_fetched(
    make: Make, validator: SessionClaimValidator, value: Any
) -> None:
    """The validator is content, every time that it is asked, and nothing is fetched."""
    app = make()
    session = a_session(app, access_token_payload=of(value))
    token = session.access_token
    assert (errors(app, session, validator), errors(app, session, validator)) == ([], [])
    assert session.access_token == token


@pytest.mark.parametrize(
    ("validator", "value", "expected"),
    [
        (TEXT.validators.has_value("a"), "b", {"expectedValue": "a"}),
        (PrimitiveClaim("c", Fetcher()).validators.has_value(1), True, {"expectedValue": 1}),
        (FLAG.validators.is_true(), False, {"expectedValue": True}),
        (FLAG.validators.is_true(), 1, {"expectedValue": True}),
        (FLAG.validators.is_false(), True, {"expectedValue": False}),
        (V.includes("a"), ["b"], {"expectedToInclude": "a"}),
        (V.includes("a"), "abc", {"expectedToInclude": "a"}),
        (V.includes(1), [True], {"expectedToInclude": 1}),
        (V.excludes("a"), ["a"], {"expectedToNotInclude": "a"}),
        (V.excludes("a"), "xyz", {"expectedToNotInclude": "a"}),
        (V.includes_all(["a", "b"]), ["a"], {"expectedToInclude": ["a", "b"]}),
        (V.includes_any(["a", "b"]), ["c"], {"expectedToIncludeAtLeastOneOf": ["a", "b"]}),
        (V.includes_any([]), ["c"], {"expectedToIncludeAtLeastOneOf": []}),
        (V.excludes_all(["a", "b"]), ["c", "b"], {"expectedToNotInclude": ["a", "b"]}),
    ],
)
def test_another_value_fails_with_what_was_expected_and_what_is_there(
    make: Make, validator: SessionClaimValidator, value: Any, expected: dict[str, Any]
) -> None:
    """The reason says what was expected and what is there, in the words that the web client knows."""
    app = make()
    session = a_session(app, access_token_payload=of(value))
    reason = {"message": "wrong value", **expected, "actualValue": value}
    assert errors(app, session, validator) == [{"id": "c", "reason": reason}]


def test_a_value_that_cannot_be_fetched_fails_and_makes_no_token(make: Make) -> None:
    """The fetcher knows none: the reason says that it does not exist; no new token is made for that."""
    app, fetch = make(), Fetcher(None)
    session = a_session(app)
    token = session.access_token
    reason = {"message": "value does not exist", "expectedValue": "a", "actualValue": None}
    validator = PrimitiveClaim("c", fetch).validators.has_value("a")
    assert errors(app, session, validator) == errors(app, session, validator) == [{"id": "c", "reason": reason}]
    assert (len(fetch.asked), session.access_token) == (2, token)


def test_a_failure_names_its_validator_or_else_its_claim(make: Make) -> None:
    """The claim's key, or one of its own; errors come in the order of the validators."""
    app = make()
    session = a_session(app, access_token_payload=of(["a"]))
    found = errors(app, session, V.includes("a"), V.includes("x", id="x"), V.excludes("a"))
    assert [error["id"] for error in found] == ["x", "c"]


# -- age ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "asked", "age", "fetches"),
    [
        (None, None, 10**9, False),
        (None, 60, 60, False),
        (None, 60, 60.001, True),
        (60, None, 61, True),
        (60, 120, 61, False),
        (60, 0, 0, False),
        (60, 0, 0.001, True),
        (None, datetime.timedelta(minutes=1), 61, True),
        (datetime.timedelta(minutes=1), None, 59, False),
        (0, None, 1, True),
    ],
    ids=spell,
)
def test_a_value_older_than_allowed_is_fetched_again(
    make: Make, default: Any, asked: Any, age: float, fetches: bool
) -> None:
    """It is fetched anew when it is older than the validator says, or else the claim; never younger than 0."""
    app, fetch = make(), Fetcher(["new"])
    claim: PrimitiveArrayClaim[str] = PrimitiveArrayClaim("c", fetch, default)
    session = a_session(app, access_token_payload=of(["old"], NOW - round(age * SECOND)))
    assert errors(app, session, claim.validators.excludes("x", max_age=asked)) == []
    assert session.get_claim_value(claim) == (["new"] if fetches else ["old"])
    assert len(fetch.asked) == fetches


@pytest.mark.parametrize("claim_type", [PrimitiveClaim, BooleanClaim])
def test_the_default_age_counts_for_single_values_too(make: Make, claim_type: Any) -> None:
    """As for lists."""
    app, fetch = make(), Fetcher(True)
    claim = claim_type("c", fetch, datetime.timedelta(seconds=1))
    assert (
        errors(app, a_session(app, access_token_payload=of(True, NOW - 2000)), claim.validators.has_value(True)) == []
    )
    assert len(fetch.asked) == 1


class Ticking(Clock):
    """A millisecond passes whenever somebody looks."""

    def __call__(self) -> int:
        self.wait(1)
        return self.now


def test_a_value_fetched_for_this_request_is_young_enough_for_all_validators(make: Make) -> None:
    """What was fetched for this very question is young enough for all validators, even with a max age of 0."""
    app, fetch = make(), Fetcher(True)
    state_of(app).engine.clock = Ticking()  # type: ignore[attr-defined]
    validators = BooleanClaim("c", fetch, default_max_age=60).validators
    session = a_session(app)
    for number in (1, 2):
        assert errors(app, session, validators.is_true(max_age=0), validators.has_value(True, max_age=0)) == []
        assert len(fetch.asked) == number


@pytest.mark.parametrize("when", [None, "yesterday", True])
def test_a_value_of_unknown_age_is_fetched_again_only_with_a_max_age(make: Make, when: Any) -> None:
    """With a max age it is fetched anew, without one it is taken."""
    app, fetch = make(), Fetcher(False)
    claim = BooleanClaim("c", fetch)
    session = a_session(app, access_token_payload={"c": {"v": True} if when is None else {"v": True, "t": when}})
    assert errors(app, session, claim.validators.is_true()) == []
    assert errors(app, session, claim.validators.is_true(max_age=60))[0]["reason"]["actualValue"] is False


def test_an_old_value_that_is_not_fetched_again_is_refused_as_expired(make: Make) -> None:
    """Without a fetch before (a validator within another one) an old value is refused: "expired", with both ages."""
    app = make()
    inner = FLAG.validators.is_true(max_age=60)
    session = a_session(app, access_token_payload=of(True, NOW - 61_000))
    reason = {"message": "expired", "ageInSeconds": 61, "maxAgeInSeconds": 60}
    assert errors(app, session, Own(inner.validate)) == [{"id": "own", "reason": reason}]


@pytest.mark.parametrize("age", [-1, float("nan"), float("inf"), "60", True, datetime.timedelta(seconds=-1)], ids=spell)
def test_an_age_that_makes_no_sense_raises_where_it_is_written(age: Any) -> None:
    """A ValueError where it is written."""
    for make_it in (
        lambda: PrimitiveClaim("c", Fetcher(), age),
        lambda: PrimitiveArrayClaim("c", Fetcher(), age),
        lambda: TEXT.validators.has_value("a", age),
        lambda: V.includes("a", age),
        lambda: verify_session(max_age=age),
    ):
        with pytest.raises(ValueError, match="an age must be"):
            make_it()


# -- fetching ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [{}, {"c": "foreign"}, {"c": {"t": NOW}}, {"c": {"v": None, "t": NOW}}], ids=spell)
def test_a_missing_claim_is_fetched_once_kept_and_sent(make: Make, stored: dict[str, Any]) -> None:
    """It is fetched with user, tenant and payload, once for all validators, kept, and the new token is sent."""
    app, fetch = make(), Fetcher("a")
    claim = PrimitiveClaim("c", fetch)
    token = signed_in(app, access_token_payload={"x": 1, **stored}).access_token
    response = asking(app, [claim.validators.has_value("a"), claim.validators.has_value("a", max_age=0)], token)
    assert front(response)["up"]["c"] == information(app).access_token_payload["c"] == {"v": "a", "t": NOW}
    assert response.json == contents(set_cookies(response)["sAccessToken"].value)[1]
    ((user, tenant, payload),) = fetch.asked
    assert (user, tenant, payload["x"], payload["sub"]) == ("user-1", "public", 1, "user-1")


def information(app: Flask) -> Any:
    """What is known of the only session of ``user-1``."""
    (handle,) = handles(app)
    with app.app_context():
        return get_session_information(handle)


def test_a_claim_that_is_there_is_neither_fetched_nor_sent(make: Make) -> None:
    """Nothing is fetched, stored or sent."""
    app, fetch = make(), Fetcher("b")
    token = signed_in(app, access_token_payload=of("a", 1)).access_token
    response = asking(app, [PrimitiveClaim("c", fetch).validators.has_value("a")], token)
    assert (response.status_code, fetch.asked) == (200, [])
    assert sets_no_tokens(response)


def test_a_fetched_value_that_does_not_suffice_is_403_and_sent(make: Make) -> None:
    """403; the new payload is sent all the same, and the session goes on."""
    app = make()
    validators = [PrimitiveClaim("c", lambda *_: "b").validators.has_value("a")]
    response = asking(app, validators, signed_in(app).access_token)
    assert (response.status_code, front(response)["up"]["c"]["v"]) == (403, "b")
    assert (handed_out(response), cleared_methods(response)) == ({"cookie"}, set())
    again = asking(app, validators, set_cookies(response)["sAccessToken"].value)
    assert again.status_code == 403
    assert sets_no_tokens(again)


def test_several_fetched_claims_go_into_one_token(make: Make) -> None:
    """Each sees what was fetched before it; all of them go into one new token."""
    app = make()
    second = Fetcher(2)
    one, two = PrimitiveClaim("one", lambda *_: 1), PrimitiveClaim("two", second)
    response = asking(app, [one.validators.has_value(1), two.validators.has_value(2)], signed_in(app).access_token)
    assert (response.json["one"]["v"], response.json["two"]["v"]) == (1, 2)
    assert second.asked[0][2]["one"]["v"] == 1


def test_a_claim_whose_fetcher_knows_no_value_any_more_is_removed(make: Make) -> None:
    """The claim is removed, from the token and from the store."""
    app = make()
    token = signed_in(app, access_token_payload=of("a", 1)).access_token
    response = asking(app, [PrimitiveClaim("c", Fetcher(None)).validators.has_value("a", max_age=1)], token)
    assert (response.status_code, "c" in front(response)["up"]) == (403, False)
    assert "c" not in information(app).access_token_payload


def test_a_fetch_for_a_session_that_ended_is_unauthorised_and_cleared(make: Make) -> None:
    """*Unauthorised*, and the client's tokens are cleared."""
    app = make()
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
    response = asking(app, [FLAG.validators.is_true()], session.access_token)
    assert_response(response, 401, {"message": "unauthorised"})
    assert cleared_methods(response) == {"cookie", "header"}


# -- the answer --------------------------------------------------------------------------------------------------------


def test_claims_that_do_not_suffice_are_403_and_leave_the_tokens(make: Make) -> None:
    """403 as the web client reads it; without a reason there is no such key; tokens stay."""
    app = make()
    validators = [
        V.includes("admin"),
        Own(lambda _: ClaimValidationResult(False)),
        Own(lambda _: ClaimValidationResult(True)),
    ]
    response = asking(app, validators, signed_in(app, access_token_payload=of(["user"])).access_token)
    reason = {"message": "wrong value", "expectedToInclude": "admin", "actualValue": ["user"]}
    body = {"message": "invalid claim", "claimValidationErrors": [{"id": "c", "reason": reason}, {"id": "own"}]}
    assert_response(response, 403, body)
    assert response.text == json.dumps(body, separators=(",", ":"))
    assert sets_no_tokens(response)


def test_a_refused_claim_has_the_status_of_the_setting(make: Make) -> None:
    """A refused claim has the status of ``SUPERTOKENS_INVALID_CLAIM_STATUS_CODE``."""
    app = make(invalid_claim_status_code=418)
    assert asking(app, [Own(lambda _: ClaimValidationResult(False))], signed_in(app).access_token).status_code == 418


@pytest.mark.parametrize("reason", ["text", 5, ["a"], {"a": {"b": None}}])
def test_a_reason_of_any_json_is_sent_as_it_is(make: Make, reason: Any) -> None:
    """It is sent as it is."""
    app = make()
    found = errors(app, a_session(app), Own(lambda _: ClaimValidationResult(False, reason)))
    assert found == [{"id": "own", "reason": reason}]


# -- which validators --------------------------------------------------------------------------------------------------

NEVER = Own(lambda _: ClaimValidationResult(False, "never"))
ALWAYS = Own(lambda _: ClaimValidationResult(True))


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 403),
        ({"claim_validators": None}, 403),
        ({"claim_validators": []}, 200),
        ({"claim_validators": [ALWAYS]}, 200),
        ({"claim_validators": (ALWAYS,)}, 200),
        ({"claim_validators": lambda defaults: [*defaults, ALWAYS]}, 403),
        ({"claim_validators": lambda defaults: [one for one in defaults if one is not NEVER]}, 200),
        ({"claim_validators": lambda defaults: defaults.clear() or []}, 200),
    ],
)
def test_the_validators_of_a_view_replace_those_of_the_app(make: Make, asked: dict[str, Any], status: int) -> None:
    """Instead of those of the app, or made of them; what a callable does to the list is forgotten."""
    app = make(claim_validators=[NEVER])
    add(app, verify_session(**asked)(lambda: current_session.user_id), "/guarded")
    token = signed_in(app).access_token
    assert call(app, "GET", "/guarded", access=token).status_code == status
    assert call(app, "GET", "/me", access=token).status_code == 403


def test_no_validator_stands_in_the_way_of_a_sign_out(make: Make) -> None:
    """No validator stands in the way."""
    app = make(claim_validators=[NEVER])
    response = call(app, "POST", "/signout", access=signed_in(app).access_token)
    assert (response.json, handles(app)) == ({"status": "OK"}, [])


def test_no_validator_stands_in_the_way_of_a_refresh(make: Make) -> None:
    """No validator stands in the way; the next view asks."""
    app = make(claim_validators=[NEVER])
    response = call(app, "POST", "/refresh", refresh=signed_in(app).refresh_token)
    assert response.status_code == 200
    assert call(app, "GET", "/me", access=set_cookies(response)["sAccessToken"].value).status_code == 403


def test_no_validator_is_asked_where_there_is_no_session(make: Make) -> None:
    """Where the session is optional, nobody is asked."""
    app = make(claim_validators=[NEVER])
    assert run(app, lambda: get_session(session_required=False) is None).json is True
    assert run(app, lambda: get_session(session_required=False, claim_validators=explode) is None).json is True


def test_a_check_without_a_request_asks_the_validators_of_the_app_or_the_named_ones(make: Make) -> None:
    """Those of the app, or those that are named."""
    app = make(claim_validators=[NEVER])
    token = signed_in(app).access_token
    with app.app_context():
        with pytest.raises(InvalidClaimError):
            get_session_without_request(token)
        assert get_session_without_request(token, claim_validators=[]).user_id == "user-1"
        fetched = get_session_without_request(token, claim_validators=[FLAG.validators.is_true()])
        assert fetched.get_claim_value(FLAG) is True
        assert "c" in contents(fetched.tokens.access_token)[1]


@pytest.mark.parametrize(
    "validators",
    [5, "text", {"a": 1}, [5], [FLAG], [FLAG.validators], FLAG.validators.is_true(), [BooleanClaim]],
    ids=spell,
)
def test_naming_something_else_than_validators_raises_where_the_view_is_decorated(validators: Any) -> None:
    """A TypeError where the view is decorated."""
    with pytest.raises(TypeError, match="claim_validators must be a list of validators"):
        verify_session(claim_validators=validators)


@pytest.mark.parametrize("answer", [None, 5, [5], "text", iter([]), len])
def test_a_callable_that_returns_nonsense_raises_and_the_view_does_not_run(make: Make, answer: Any) -> None:
    """A TypeError says what it must return; the view does not run."""
    app = make()
    token = signed_in(app).access_token
    with pytest.raises(TypeError, match="list of validators"):
        asking(failing(app), lambda _: answer, token)


def failing(app: Flask) -> Flask:
    """The app, whose mistakes reach the test."""
    app.config["PROPAGATE_EXCEPTIONS"] = True
    return app


@pytest.mark.parametrize(
    "given",
    [
        {"claims": [5]},
        {"claims": [FLAG.validators.is_true()]},
        {"claim_validators": [FLAG]},
        {"claim_validators": [FLAG.validators]},
        {"user_exists": True},
        {"before_session_created": {}},
    ],
    ids=spell,
)
def test_giving_the_app_something_else_than_claims_raises_at_the_start(given: dict[str, Any]) -> None:
    """A TypeError when it starts."""
    with pytest.raises(TypeError, match=next(iter(given))):
        SuperTokens(Flask("app"), **given)


# -- global claims -----------------------------------------------------------------------------------------------------


def test_a_claim_of_the_app_is_built_at_every_sign_in(make: Make) -> None:
    """Built at log-in, by a request or without one, from user, tenant and payload."""
    fetch = Fetcher(["admin"])
    app = make(claims=[PrimitiveArrayClaim("roles", fetch)])
    response = run(app, lambda: create_new_session("user-1", {"x": 1}, tenant_id="t1").handle)
    with app.app_context():
        other = create_new_session_without_request("user-2", {"x": 2})
    wanted = {"v": ["admin"], "t": NOW}
    assert front(response)["up"]["roles"] == other.access_token_payload["roles"] == wanted
    assert information(app).access_token_payload["roles"] == wanted
    assert [asked for *asked, _ in fetch.asked] == [["user-1", "t1"], ["user-2", "public"]]
    assert fetch.asked[0][2] == {"x": 1}


def test_a_session_has_no_claim_where_the_user_has_no_value(make: Make) -> None:
    """Then the session has no such claim, whatever the payload says."""
    app = make(claims=[PrimitiveClaim("c", Fetcher(None))])
    assert "c" not in a_session(app, access_token_payload={"c": "mine"}).access_token_payload


def test_a_claim_sees_those_built_before_it(make: Make) -> None:
    """The second one sees the first; neither can change the payload behind the caller's back."""

    def meddle(user_id: str, tenant_id: str, payload: dict[str, Any]) -> int:
        payload["deep"]["x"] = payload["y"] = "changed"
        return len(payload)

    app = make(claims=[PrimitiveClaim("one", meddle), PrimitiveClaim("two", meddle)])
    given = {"deep": {"x": 1}}
    kept = a_session(app, access_token_payload=given).access_token_payload
    assert (kept["one"]["v"], kept["two"]["v"], kept["deep"], "y" in kept) == (2, 3, {"x": 1}, False)
    assert given == {"deep": {"x": 1}}


def test_a_refresh_keeps_a_claim_and_does_not_fetch_it(make: Make) -> None:
    """It is not fetched again for that."""
    fetch = Fetcher("a")
    app = make(claims=[PrimitiveClaim("c", fetch)])
    tokens = signed_in(app)
    with app.app_context():
        session = refresh_session_without_request(str(tokens.refresh_token))
    assert (session.access_token_payload["c"]["v"], len(fetch.asked)) == ("a", 1)


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_setting_and_removing_a_claim_changes_token_response_and_store(make: Make) -> None:
    """On a session: token, response and store have it, in the stored form; a missing one is removed without a word."""
    app = make()

    def view() -> list[Any]:
        found = [current_session.get_claim_value(ROLES)]
        current_session.set_claim_value(ROLES, ["admin"])
        found += [current_session.get_claim_value(ROLES), current_session.access_token_payload["c"]]
        current_session.remove_claim(TEXT)
        current_session.remove_claim(TEXT)
        current_session.set_claim_value(PrimitiveClaim("d", Fetcher()), 5)
        return [*found, current_session.get_claim_value(ROLES)]

    response = run(app, view, verified=True, access=signed_in(app).access_token)
    assert response.json == [None, ["admin"], {"v": ["admin"], "t": NOW}, None]
    for payload in (front(response)["up"], information(app).access_token_payload):
        assert ("c" in payload, payload["d"]["v"]) == (False, 5)


def test_a_session_removes_a_claim_that_its_token_does_not_show_yet(make: Make) -> None:
    """Also where this access token does not show it yet."""
    app = make()
    session = a_session(app)
    with app.app_context():
        claims.set_claim_value(session.handle, TEXT, "a")
        session.remove_claim(TEXT)
    assert "c" not in information(app).access_token_payload


def test_fetch_and_set_claim_fetches_whatever_the_age(make: Make) -> None:
    """Young or not; ``None`` removes it."""
    app, fetch = make(), Fetcher("b")
    claim = PrimitiveClaim("c", fetch)
    session = a_session(app, access_token_payload=of("a"))
    with app.app_context():
        session.fetch_and_set_claim(claim)
        assert (session.get_claim_value(claim), fetch.asked[0][:2]) == ("b", ("user-1", "public"))
        fetch.value = None
        session.fetch_and_set_claim(claim)
    assert session.get_claim_value(claim) is None


def test_setting_none_removes_the_claim(make: Make) -> None:
    """``None`` is no value: the claim is gone."""
    app = make()
    session = a_session(app, access_token_payload=of("a"))
    with app.app_context():
        session.set_claim_value(TEXT, None)  # type: ignore[arg-type]
        assert claims.set_claim_value(session.handle, TEXT, None) is True  # type: ignore[arg-type]
    assert "c" not in session.access_token_payload


def test_a_claim_changed_by_handle_shows_after_a_refresh(make: Make) -> None:
    """Set, read, fetched and removed in the store; the access token shows it after a refresh."""
    app, fetch = make(), Fetcher(["fetched"])
    claim: PrimitiveArrayClaim[str] = PrimitiveArrayClaim("c", fetch)
    session = a_session(app, tenant_id="t1")
    with app.app_context():
        assert claims.set_claim_value(session.handle, claim, ["set"]) is True
        assert claims.get_claim_value(session.handle, claim) == ["set"]
        assert claims.fetch_and_set_claim(session.handle, claim) is True
        assert fetch.asked[0][:2] == ("user-1", "t1")
        refreshed = refresh_session_without_request(str(session.tokens.refresh_token))
        assert (session.get_claim_value(claim), refreshed.get_claim_value(claim)) == (None, ["fetched"])
        assert claims.remove_claim(session.handle, claim) is claims.remove_claim(session.handle, claim) is True
        assert claims.get_claim_value(session.handle, claim) is None


def test_an_unknown_handle_fetches_nothing_and_returns_false(make: Make) -> None:
    """Nothing is fetched, and the result says so."""
    app, fetch = make(), Fetcher("a")
    claim = PrimitiveClaim("c", fetch)
    with app.app_context():
        assert claims.set_claim_value("unknown", claim, "a") is claims.fetch_and_set_claim("unknown", claim) is False
        assert (claims.remove_claim("unknown", claim), claims.get_claim_value("unknown", claim)) == (False, None)
    assert fetch.asked == []


def test_changing_the_value_that_was_read_changes_nothing(make: Make) -> None:
    """It is a copy: changing it changes nothing; a validator can't change the payload either."""
    app = make()
    session = a_session(app, access_token_payload=of(["user"]))
    session.get_claim_value(ROLES).append("admin")  # type: ignore[union-attr]
    assert errors(app, session, Own(lambda payload: payload.clear() or ClaimValidationResult(True))) == []
    assert session.get_claim_value(ROLES) == ["user"]


def test_changing_a_value_after_it_was_set_changes_nothing(make: Make) -> None:
    """The caller's list is the caller's."""
    app, roles = make(), ["user"]
    session = a_session(app)
    with app.app_context():
        session.set_claim_value(ROLES, roles)
    roles.append("admin")
    assert session.get_claim_value(ROLES) == ["user"]


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [*sorted(PROTECTED_NAMES), "", None, 5], ids=spell)
def test_a_claim_named_as_the_protocol_names_its_own_raises(key: Any) -> None:
    """A ValueError where it is made."""
    for claim_type in (SessionClaim, PrimitiveClaim, BooleanClaim, PrimitiveArrayClaim):
        with pytest.raises(ValueError, match="can't name a claim"):
            claim_type(key, Fetcher())


@pytest.mark.parametrize("name", ["", None, 5])
def test_a_validator_without_a_name_raises(name: Any) -> None:
    """A ValueError where it is made."""
    with pytest.raises(ValueError, match="can't name a validator"):
        SessionClaimValidator(name)


def test_one_text_in_place_of_a_list_raises() -> None:
    """A ValueError, not a search for its letters."""
    for ask in (V.includes_all, V.includes_any, V.excludes_all):
        with pytest.raises(ValueError, match="must be a list"):
            ask("admin")


async def async_answer(*_: Any) -> Any:
    """Nobody awaits it."""


def explode(*_: Any) -> Any:
    raise LookupError("the directory is down")


BROKEN: dict[str, tuple[Any, type[Exception], str]] = {
    "fetches async": (PrimitiveClaim("c", async_answer).validators.has_value("a"), TypeError, "'c' is async"),
    "validates async": (Own(async_answer), TypeError, "'own' is async"),
    "refetches async": (Own(explode, FLAG, async_answer), TypeError, "should_refetch of the validator 'own' is async"),
    "validates after an async fetch": (
        Own(explode, PrimitiveClaim("c", async_answer), True),
        TypeError,
        "is async. It is called synchronously",
    ),
    "fetcher raises": (PrimitiveClaim("c", explode).validators.has_value("a"), LookupError, "directory is down"),
    "validator raises": (Own(explode), LookupError, "directory is down"),
    "refetch raises": (Own(explode, FLAG, explode), LookupError, "directory is down"),
    "validator is undefined": (SessionClaimValidator("own"), NotImplementedError, "must define validate"),
    "answers true": (Own(lambda _: True), TypeError, "must return a ClaimValidationResult"),
    "answers none": (Own(lambda _: None), TypeError, "must return a ClaimValidationResult"),
    "answers a text": (Own(lambda _: ClaimValidationResult("false")), TypeError, "must return a ClaimValid"),  # type: ignore[arg-type]
    "reason is a set": (Own(lambda _: ClaimValidationResult(False, {1})), ValueError, "reason of the validator 'own'"),
    "reason is not a number": (
        Own(lambda _: ClaimValidationResult(False, float("nan"))),
        ValueError,
        "'own' must be JSON",
    ),
    "value is a set": (
        PrimitiveClaim("c", lambda *_: {1}).validators.has_value("a"),
        ValueError,
        "claim 'c' must be JSON",
    ),
    "value is a surrogate": (
        PrimitiveClaim("c", lambda *_: "\ud800").validators.has_value("a"),
        ValueError,
        "claim 'c'",
    ),
    "value is too large": (PrimitiveClaim("c", lambda *_: "x" * 5000).validators.has_value("a"), ValueError, "bytes"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_validator_or_claim_raises_and_changes_nothing(make: Make, broken: str) -> None:
    """A clear error, for the app's logs; the view does not run, store and tokens are as they were."""
    validator, kind, text = BROKEN[broken]
    app = make()
    session = a_session(app)
    before = information(app)
    with pytest.raises(kind, match=text):
        asking(failing(app), [validator], session.access_token)
    assert information(app) == before
    app.config["PROPAGATE_EXCEPTIONS"] = False
    response = asking(app, [validator], session.access_token)
    assert (response.status_code, sets_no_tokens(response)) == (500, True)


@pytest.mark.parametrize("broken", ["validator raises", "answers none", "reason is a set"])
def test_a_validator_that_raises_drops_what_was_fetched_before(make: Make, broken: str) -> None:
    """What was fetched is not kept either: a view that fails has changed nothing."""
    validator, kind, text = BROKEN[broken]
    app = make()
    session = a_session(app)
    before = information(app)
    fetches = PrimitiveClaim("fetched", lambda *_: "a").validators.has_value("a")
    with pytest.raises(kind, match=text):
        asking(failing(app), [fetches, validator], session.access_token)
    assert information(app) == before


@pytest.mark.parametrize("broken", ["fetches async", "fetcher raises", "value is a set", "value is too large"])
def test_a_broken_claim_of_the_app_makes_no_session_and_leaves_the_old_one(make: Make, broken: str) -> None:
    """No session is made, and the one of the request goes on."""
    validator, kind, text = BROKEN[broken]
    app = make()
    token = signed_in(app).access_token
    state_of(app).hooks.claims = (validator.claim,)
    with pytest.raises(kind, match=text):
        run(failing(app), lambda: create_new_session("new").handle, access=token)
    assert (len(handles(app)), handles(app, "new")) == (1, [])


@pytest.mark.parametrize("value", [{1}, float("nan"), object(), b"x", "\ud800"], ids=spell)
def test_a_value_that_is_not_json_raises_and_leaves_the_old_one(make: Make, value: Any) -> None:
    """A ValueError that names the claim; the old value stays."""
    app = make()
    session = a_session(app, access_token_payload=of("a"))
    claim: Any = TEXT
    with app.app_context():
        for attempt in (session.set_claim_value, lambda *given: claims.set_claim_value(session.handle, *given)):
            with pytest.raises(ValueError, match="claim 'c' must be JSON"):
                attempt(claim, value)
    assert session.get_claim_value(claim) == information(app).access_token_payload["c"]["v"] == "a"


def test_a_validator_that_asks_for_what_is_not_json_raises() -> None:
    """A ValueError where it is written."""
    for ask in (TEXT.validators.has_value, V.includes, V.excludes):
        with pytest.raises(ValueError, match="must be JSON"):
            ask({1})


def test_changing_a_claim_of_a_session_that_ended_is_unauthorised(make: Make) -> None:
    """Changing a claim is *unauthorised*."""
    app = make()
    session = a_session(app)
    with app.app_context():
        revoke_session(session.handle)
        for change in (lambda: session.set_claim_value(TEXT, "a"), lambda: session.fetch_and_set_claim(TEXT)):
            with pytest.raises(UnauthorisedError):
                change()


def test_asserting_something_else_than_validators_raises(make: Make) -> None:
    """A TypeError says what is expected."""
    app = make()
    session = a_session(app)
    with app.app_context(), pytest.raises(TypeError, match="must be a list of validators"):
        session.assert_claims([FLAG])  # type: ignore[list-item]


# -- what it costs -----------------------------------------------------------------------------------------------------


def test_a_view_without_validators_reads_no_payload(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is copied, nothing is made JSON."""
    app = make()
    token = signed_in(app).access_token
    assert call(app, "GET", "/me", access=token).status_code == 200

    def refuse(*_: Any) -> None:
        raise AssertionError("the payload was looked at")

    for module in (arguments, validators, rules, embedded_engine, rows, remote):
        monkeypatch.setattr(module, "to_json_object", refuse)
    monkeypatch.setattr(Session, "access_token_payload", property(refuse))
    assert call(app, "GET", "/me", access=token).status_code == 200
    with app.app_context():
        assert get_session_without_request(token).user_id == "user-1"
