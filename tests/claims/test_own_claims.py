"""Claims and validators as apps write them, by the public names of `flask_supertokens.claims` only.

They are a contract: subclasses, what these override and what they call run unchanged with every version.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from flask_supertokens import (
    InvalidClaimError,
    Session,
    claims,
    create_new_session,
    current_session,
    get_session,
    get_session_information,
    verify_session,
)
from flask_supertokens.claims import (
    BooleanClaim,
    BooleanValidators,
    ClaimValidationResult,
    PrimitiveArrayClaim,
    PrimitiveArrayValidators,
    PrimitiveClaim,
    PrimitiveValidators,
    SessionClaim,
    SessionClaimValidator,
)

from ..support.apps import a_session, add, clock_of, signed_in
from ..support.both import Make
from ..support.wire import call, contents, front, run

NOW = 1_700_000_000_000
MINUTE = 60
EXPIRED = {"message": "expired", "ageInSeconds": 61, "maxAgeInSeconds": 60}


def of(value: Any, at: int = NOW, key: str = "c") -> dict[str, Any]:
    return {key: {"v": value, "t": at}}


def errors(app: Flask, session: Session, *validators: Any) -> list[Any]:
    """What validators find wrong with a session."""
    with app.app_context():
        try:
            session.assert_claims(validators)
        except InvalidClaimError as error:
            return error.errors
    return []


def visit(app: Flask, validators: Any, token: str) -> TestResponse:
    """Ask a view that is guarded with these validators; it answers the payload."""
    return run(app, lambda: get_session(claim_validators=validators).access_token_payload, access=token)  # type: ignore[union-attr]


# -- claims ------------------------------------------------------------------------------------------------------------


class Tier(SessionClaim[dict[str, Any]]):
    """A claim whose value is a fact with a name, fetched by a method, kept in small letters."""

    def __init__(self) -> None:
        super().__init__("tier", self.load)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.updated: list[Any] = []

    def load(self, user_id: str, tenant_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        self.asked.append((user_id, tenant_id, payload))
        return {"name": "GOLD"}

    def update(self, value: dict[str, Any] | None) -> dict[str, Any]:
        self.updated.append(value)
        return super().update(None if value is None else {"name": value["name"].lower()})


def test_a_claim_that_overrides_update_is_asked_wherever_a_value_is_set(make: Make) -> None:
    """At log-in, when it is fetched, set by a session and by handle: ``fetch`` of the base goes through it."""
    claim = Tier()
    app = make(claims=[claim])
    session = a_session(app, access_token_payload={"x": 1})
    assert session.access_token_payload["tier"] == {"v": {"name": "gold"}, "t": NOW}
    assert claim.asked == [("user-1", "public", {"x": 1})]
    with app.app_context():
        session.fetch_and_set_claim(claim)
        session.set_claim_value(claim, {"name": "SILVER"})
        assert session.get_claim_value(claim) == {"name": "silver"}
        assert claims.set_claim_value(session.handle, claim, {"name": "TIN"}) is True
        assert claims.get_claim_value(session.handle, claim) == {"name": "tin"}
        assert claims.fetch_and_set_claim(session.handle, claim) is True
    assert [value and value["name"] for value in claim.updated] == ["GOLD", "GOLD", "SILVER", "TIN", "GOLD"]


class Account(SessionClaim[str]):
    """A claim that fetches more than its own value."""

    def fetch(self, user_id: str, tenant_id: str, payload: dict[str, Any]) -> dict[str, Any]:
        return {**super().fetch(user_id, tenant_id, payload), "plan": "free", "x": None}


class HasAccount(SessionClaimValidator):
    """Has the claim fetched where it is missing, and looks at what came with it."""

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        assert self.claim is not None
        return self.claim.value_in(payload) is None

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        return ClaimValidationResult(
            payload.get("plan") == "free" and "x" not in payload, {"plan": payload.get("plan")}
        )


def test_a_claim_that_overrides_fetch_merges_what_it_returns(make: Make) -> None:
    """More keys than its own, and keys that are gone; validators see it, the client gets it, the store keeps it."""
    app, claim = make(), Account("account", lambda user_id, *_: f"account of {user_id}")
    token = signed_in(app, access_token_payload={"x": 1}).access_token
    response = visit(app, [HasAccount("has-account", claim)], token)
    assert response.status_code == 200
    session = a_session(app, "user-2", access_token_payload={"x": 1})
    with app.app_context():
        session.fetch_and_set_claim(claim)
        known = get_session_information(session.handle)
    assert known is not None
    for payload in (front(response)["up"], session.access_token_payload, known.access_token_payload):
        assert (payload["account"]["t"], payload["plan"], "x" in payload) == (NOW, "free", False)
    assert known.access_token_payload["account"]["v"] == "account of user-2"


def test_a_claim_that_overrides_fetch_is_built_at_sign_in_as_it_is_fetched_later(make: Make) -> None:
    """As it is fetched later."""
    app = make(claims=[Account("account", lambda *_: "a")])
    payload = a_session(app, access_token_payload={"x": 1}).access_token_payload
    assert (payload["account"]["v"], payload["plan"], "x" in payload) == ("a", "free", False)


class Noted(PrimitiveClaim[str]):
    """A claim that leaves a note where it was."""

    def removal(self) -> dict[str, Any]:
        return {**super().removal(), f"{self.key}-removed": True}


class Stamped(Noted):
    """A claim in a form of its own: ``"value@moment"``."""

    def update(self, value: str | None) -> dict[str, Any]:
        if value is None:
            return self.removal()
        return {self.key: f"{value}@{super().update(value)[self.key]['t']}"}

    def value_in(self, payload: Mapping[str, Any]) -> str | None:
        return payload[self.key].partition("@")[0] if self.key in payload else None

    def fetched_at(self, payload: Mapping[str, Any]) -> int | None:
        return int(payload[self.key].partition("@")[2]) if self.key in payload else None


def test_validators_read_a_claim_as_it_reads_itself(make: Make) -> None:
    """Value and moment are what the claim's own ``value_in`` and ``fetched_at`` say: young enough, wrong, and too old."""
    app, claim = make(), Stamped("c", lambda *_: "new", MINUTE)
    session = a_session(app, access_token_payload={"c": f"old@{NOW}"})
    assert errors(app, session, claim.validators.has_value("old")) == []
    reason = {"message": "wrong value", "expectedValue": "new", "actualValue": "old"}
    assert errors(app, session, claim.validators.has_value("new")) == [{"id": "c", "reason": reason}]
    clock_of(app).wait(61_000)
    assert errors(app, session, claim.validators.has_value("new")) == []
    assert session.access_token_payload["c"] == f"new@{NOW + 61_000}"


@pytest.mark.parametrize(("kind", "stored"), [(Noted, of("a")), (Stamped, {"c": f"a@{NOW}"})])
def test_a_claim_says_itself_how_it_is_removed(make: Make, kind: type[Noted], stored: dict[str, Any]) -> None:
    """By a session, by handle, and where the value is ``None``."""
    app, claim = make(), kind("c", lambda *_: None)
    for remove in (
        lambda session: session.remove_claim(claim),
        lambda session: session.set_claim_value(claim, None),
        lambda session: session.fetch_and_set_claim(claim),
        lambda session: claims.remove_claim(session.handle, claim),
    ):
        session = a_session(app, access_token_payload=stored)
        with app.app_context():
            remove(session)
            known = get_session_information(session.handle)
        assert known is not None
        assert ("c" in known.access_token_payload, known.access_token_payload["c-removed"]) == (False, True)


class Region(SessionClaim[str]):
    """Never calls the constructor of its base."""

    key = "region"

    def __init__(self, regions: Mapping[str, str]) -> None:
        self.regions = regions

    def fetch_value(self, user_id: str, tenant_id: str, payload: dict[str, Any]) -> str | None:  # type: ignore[override]
        return self.regions.get(user_id)


def test_a_claim_takes_key_and_fetcher_from_its_class(make: Make) -> None:
    """They are attributes like any."""
    claim = Region({"user-1": "north"})
    app = make(claims=[claim])
    session = a_session(app)
    assert session.access_token_payload["region"] == {"v": "north", "t": NOW}
    assert "region" not in a_session(app, "user-2").access_token_payload
    assert repr(claim) == "Region('region')"


def test_what_a_claim_returns_may_be_merged_by_hand(make: Make) -> None:
    """At log-in and in a merge: ``update``, ``fetch`` and ``removal`` say what, with the time of the app."""
    app, claim = make(), PrimitiveArrayClaim[str]("c", lambda user_id, *_: [user_id])
    clock_of(app).wait(5)

    def log_in() -> Any:
        create_new_session("user-1", claim.update(["a"]))
        first = current_session.access_token_payload["c"]
        current_session.merge_into_access_token_payload({"x": 1, **claim.fetch("user-2", "public", {})})
        second = current_session.access_token_payload["c"]
        current_session.merge_into_access_token_payload(claim.removal())
        return [first, second, "c" in current_session.access_token_payload, claim.update(None)]

    at = NOW + 5
    assert run(app, log_in).json == [{"v": ["a"], "t": at}, {"v": ["user-2"], "t": at}, False, {"c": None}]


# -- validators of claims ----------------------------------------------------------------------------------------------


class RoleValidators(PrimitiveArrayValidators[str]):
    """Those of a list, and one more."""

    def is_staff(self, max_age: Any = None) -> SessionClaimValidator:
        return self.includes_any(["admin", "editor"], max_age, "is-staff")


class Roles(PrimitiveArrayClaim[str]):
    validators: RoleValidators

    def __init__(self, default_max_age: float | None = None) -> None:
        super().__init__("roles", lambda *_: ["editor"], default_max_age)
        self.validators = RoleValidators(self, default_max_age)


def test_a_claim_s_own_validators_have_the_ages_and_reasons_of_the_package_s(make: Make) -> None:
    """Made of those of the package, with the same ages and reasons."""
    app, roles = make(), Roles(MINUTE)
    session = a_session(app, access_token_payload=of(["user"], NOW - 60_000, "roles"))
    reason = {
        "message": "wrong value",
        "expectedToIncludeAtLeastOneOf": ["admin", "editor"],
        "actualValue": ["user"],
    }
    assert errors(app, session, roles.validators.is_staff()) == [{"id": "is-staff", "reason": reason}]
    clock_of(app).wait(1)
    assert errors(app, session, roles.validators.is_staff(), roles.validators.excludes("user")) == []
    assert session.get_claim_value(roles) == ["editor"]


class Flags(BooleanValidators):
    def is_open(self, max_age: float | None = None) -> SessionClaimValidator:
        return self.is_false(max_age, id="is-open")


class Numbers(PrimitiveValidators[int]):
    def has_value(self, value: int, max_age: Any = None, id: str | None = None) -> SessionClaimValidator:
        return super().has_value(value * 2, max_age, id or "twice")


def test_validators_may_be_made_for_any_claim(make: Make) -> None:
    """For a plain claim of the app's too: a claim and an age in seconds, or none, is all that they are made of."""
    app = make()
    closed, count = SessionClaim[bool]("closed", lambda *_: True), SessionClaim[int]("count", lambda *_: 4)
    session = a_session(app, access_token_payload={**of(True, key="closed"), **of(4, key="count")})
    assert [error["id"] for error in errors(app, session, Flags(closed, None).is_open())] == ["is-open"]
    assert errors(app, session, Numbers(count, 0.5).has_value(2)) == []
    assert [error["id"] for error in errors(app, session, Numbers(count, 0.5).has_value(4))] == ["twice"]


# -- validators --------------------------------------------------------------------------------------------------------

FLAG = BooleanClaim("c", lambda *_: True)
ROLES = PrimitiveArrayClaim[str]("c", lambda *_: ["user"])


class Not(SessionClaimValidator):
    """Turns another validator round, and hands on all that it is asked."""

    def __init__(self, inner: SessionClaimValidator) -> None:
        super().__init__(f"not-{inner.id}", inner.claim)
        self.inner = inner

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        return self.inner.should_refetch(payload)

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        return self._turn(self.inner.validate(payload))

    def validate_fetched(self, payload: dict[str, Any]) -> ClaimValidationResult:
        return self._turn(self.inner.validate_fetched(payload))

    def _turn(self, found: ClaimValidationResult) -> ClaimValidationResult:
        return ClaimValidationResult(not found.is_valid, {"found": found.reason})


def test_a_validator_that_hands_on_to_one_of_a_claim_has_its_answers_age_and_fetch(make: Make) -> None:
    """Its answers, its age and its fetch count, in a request and without one; what was fetched suffices at any max age."""
    app = make()
    session = a_session(app, access_token_payload=of(["admin"], NOW - 61_000))
    is_no_admin = Not(ROLES.validators.excludes("user", max_age=0))
    assert errors(app, session, Not(ROLES.validators.includes("admin", id="admin"))) == [
        {"id": "not-admin", "reason": {"found": None}}
    ]
    response = visit(app, [is_no_admin], session.access_token)
    assert (response.status_code, front(response)["up"]["c"]) == (200, {"v": ["user"], "t": NOW})


class Either(SessionClaimValidator):
    """Content where one of several is; a claim is fetched for none of them."""

    def __init__(self, *some: SessionClaimValidator) -> None:
        super().__init__("either")
        self.some = some

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        found = [one.validate(payload) for one in self.some]
        return ClaimValidationResult(any(one.is_valid for one in found), [one.reason for one in found])


def test_a_validator_that_asks_several_of_claims_finds_old_values_expired(make: Make) -> None:
    """An old value is *expired* where nobody fetches it; the moment is that of the app's clock."""
    app, paid = make(), PrimitiveClaim("paid", lambda *_: "yes")
    payload = {**of(["user"]), **of("yes", NOW, "paid")}
    session = a_session(app, access_token_payload=payload)
    either = Either(ROLES.validators.includes("admin"), paid.validators.has_value("yes", max_age=MINUTE))
    assert errors(app, session, either) == []
    clock_of(app).wait(61_000)
    wrong = {"message": "wrong value", "expectedToInclude": "admin", "actualValue": ["user"]}
    assert errors(app, session, either) == [{"id": "either", "reason": [wrong, EXPIRED]}]


class AtLeast(SessionClaimValidator):
    """A number that is high enough."""

    least = 1

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        assert self.claim is not None
        found = self.claim.value_in(payload) or 0
        return ClaimValidationResult(found >= self.least, {"least": self.least, "found": found})


class FewAndRecent(AtLeast):
    """Calls what it overrides, all of it, and asks of the age itself."""

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        assert self.claim is not None
        moment = self.claim.fetched_at(payload)
        return super().should_refetch(payload) or moment is None or moment < NOW

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        found = super().validate(payload)
        return ClaimValidationResult(False, "asked without a fetch") if found.is_valid else found

    def validate_fetched(self, payload: dict[str, Any]) -> ClaimValidationResult:
        found = AtLeast.validate(self, payload)
        return found if found.is_valid else super().validate_fetched(payload)


@pytest.mark.parametrize(
    ("stored", "fetched", "reason"),
    [
        (of(1), 5, "asked without a fetch"),
        (of(0), 5, {"least": 1, "found": 0}),
        (of(0, NOW - 1), 5, None),
        ({}, 5, None),
        ({}, 0, {"least": 1, "found": 0}),
    ],
)
def test_a_validator_that_calls_what_it_overrides_gets_what_it_was(
    make: Make, stored: Any, fetched: int, reason: Any
) -> None:
    """``super()`` is what it was; ``validate_fetched`` goes to ``validate`` unless it is overridden."""
    app = make()
    validator = FewAndRecent("least", PrimitiveClaim("c", lambda *_: fetched))
    found = errors(app, a_session(app, access_token_payload=stored), validator)
    assert found == ([] if reason is None else [{"id": "least", "reason": reason}])


def test_a_replaced_method_of_a_claim_s_validator_is_asked(make: Make) -> None:
    """On the object, as tests of apps do: what was put there is asked, and may ask what was there before."""
    app = make()
    validator, asked = FLAG.validators.is_true(max_age=MINUTE), []
    before = validator.validate

    def validate(payload: dict[str, Any]) -> ClaimValidationResult:
        asked.append(before(payload))
        return ClaimValidationResult(False, "replaced")

    validator.validate = validate  # type: ignore[method-assign]
    session = a_session(app, access_token_payload=of(True))
    assert errors(app, session, validator) == [{"id": "c", "reason": "replaced"}]
    assert asked == [ClaimValidationResult(True)]


def test_a_subclass_of_a_claims_validator_is_asked(make: Make) -> None:
    """Also one that is made of the class of an object, whatever that is called."""
    app = make()
    validator = FLAG.validators.is_true(max_age=MINUTE)

    class Strict(type(validator)):  # type: ignore[misc]
        def should_refetch(self, payload: dict[str, Any]) -> bool:
            assert super().should_refetch(payload) is True
            return False

        def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
            found = super().validate(payload)
            return ClaimValidationResult(found.is_valid, {"strict": found.reason})

    validator.__class__ = Strict
    session = a_session(app, access_token_payload=of(True, NOW - 61_000))
    assert errors(app, session, validator) == [{"id": "c", "reason": {"strict": EXPIRED}}]


class Duck:
    """No subclass of anything, but all that a validator has."""

    id = "duck"
    claim = FLAG

    def should_refetch(self, payload: dict[str, Any]) -> bool:
        return "c" not in payload

    def validate(self, payload: dict[str, Any]) -> ClaimValidationResult:
        return ClaimValidationResult(False, "not fetched")

    def validate_fetched(self, payload: dict[str, Any]) -> ClaimValidationResult:
        return ClaimValidationResult(payload["c"]["v"])


def test_a_validator_that_is_no_subclass_counts_for_a_view(make: Make) -> None:
    """It counts for a view all the same."""
    app = make()
    add(app, verify_session(claim_validators=[Duck()])(lambda: current_session.access_token_payload), "/duck")  # type: ignore[list-item]
    response = call(app, "GET", "/duck", access=signed_in(app).access_token)
    assert (response.status_code, front(response)["up"]["c"]) == (200, {"v": True, "t": NOW})
    assert (
        call(app, "GET", "/duck", access=signed_in(app, access_token_payload=of(True)).access_token).status_code == 403
    )


# -- asked by the app itself -------------------------------------------------------------------------------------------


def test_a_claim_s_validator_asked_in_a_view_fetches_and_sends_nothing(make: Make) -> None:
    """Directly, with the session's payload or any other: the age is that of now, and nothing is fetched or sent."""
    app = make()
    session = a_session(app, access_token_payload=of(True))
    clock_of(app).wait(61_000)

    def view() -> Any:
        payload = current_session.access_token_payload
        young, old = FLAG.validators.is_true(max_age=62), FLAG.validators.is_true(max_age=datetime.timedelta(minutes=1))
        return [
            [validator.should_refetch(payload) for validator in (young, old)],
            [vars(validator.validate(payload)) for validator in (young, old)],
            vars(old.validate_fetched(payload)),
        ]

    response = run(app, view, verified=True, access=session.access_token)
    assert response.json == [
        [False, True],
        [{"is_valid": True, "reason": None}, {"is_valid": False, "reason": EXPIRED}],
        {"is_valid": True, "reason": None},
    ]
    assert "front-token" not in response.headers


def test_claims_and_validators_may_be_asked_without_a_request(make: Make) -> None:
    """In an application context: a job, the shell."""
    app = make()
    with app.app_context():
        payload = FLAG.update(True)
        clock_of(app).wait(61_000)
        assert FLAG.fetched_at(payload) == NOW
        assert FLAG.validators.is_true(max_age=MINUTE).validate(payload) == ClaimValidationResult(False, EXPIRED)


def test_a_claim_asked_without_an_app_needs_no_time_for_what_is_no_value() -> None:
    """In a plain test: what is no value needs no time, and what is not JSON is told first."""
    nothing = PrimitiveClaim("c", lambda *_: None)
    assert nothing.fetch("user-1", "public", {}) == nothing.update(None) == nothing.removal() == {"c": None}
    with pytest.raises(ValueError, match="claim 'c' must be JSON"):
        ROLES.update([object()])  # type: ignore[list-item]


def test_a_validator_asked_without_an_app_passes_where_no_age_is_asked_for() -> None:
    """In a plain test of a payload that says not when it was fetched, where no age is asked for."""
    validator = ROLES.validators.includes("admin")
    assert validator.validate({"c": {"v": ["admin"]}}) == ClaimValidationResult(True)
    assert validator.validate({"c": {"v": ["user"]}}).is_valid is False
    assert (validator.should_refetch({}), validator.should_refetch({"c": {"v": []}})) == (True, False)
    assert validator.validate({}).reason["message"] == "value does not exist"


def test_a_claim_of_two_apps_is_stamped_and_judged_by_the_clock_of_the_one_that_asks(make: Make) -> None:
    """Two apps in one process: a claim that both have is stamped and judged by the app that asks."""
    app, other = make(), make()
    clock_of(other).wait(61_000)
    validator = FLAG.validators.is_true(max_age=MINUTE)
    for one, moment, reason in ((app, NOW, None), (other, NOW + 61_000, EXPIRED)):
        with one.app_context():
            assert FLAG.update(True) == of(True, moment)
            assert validator.validate(of(True)).reason == reason


# -- what things are ---------------------------------------------------------------------------------------------------


def test_claims_and_validators_are_of_the_public_classes() -> None:
    """`isinstance` says what the docs suggest."""
    for claim in (FLAG, ROLES, PrimitiveClaim("c", str), Tier(), SessionClaim("c", lambda *_: None)):
        assert isinstance(claim, SessionClaim)
    assert issubclass(BooleanClaim, PrimitiveClaim)
    assert issubclass(BooleanValidators, PrimitiveValidators)
    assert isinstance(FLAG.validators, BooleanValidators)
    assert isinstance(FLAG.validators.is_true(), SessionClaimValidator)
    assert (FLAG.validators.is_true().claim, FLAG.validators.is_true().id) == (FLAG, "c")
    assert ClaimValidationResult(False, "a") == ClaimValidationResult(is_valid=False, reason="a")


def test_a_claim_may_be_mixed_with_other_classes() -> None:
    """They are plain classes, without a metaclass that could stand in the way."""
    assert {type(kind) for kind in (SessionClaim, PrimitiveClaim, PrimitiveArrayClaim, SessionClaimValidator)} == {type}


def test_a_token_shows_a_claim_as_v_and_t(make: Make) -> None:
    """``v`` and ``t`` are what other services read."""
    app = make(claims=[PrimitiveClaim("c", lambda *_: "a")])
    assert contents(signed_in(app).access_token)[1]["c"] == {"v": "a", "t": NOW}
