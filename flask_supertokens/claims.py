"""Session claims: facts about a user that travel in the access token, and validators that require them.

The payload holds a claim as ``{key: {"v": value, "t": milliseconds}}``: its value and when it was fetched. A validator
judges whether the payload of a session suffices; a validator of a claim also says when to fetch the value anew.

``SuperTokens(claims=[…])`` lists the claims that are built whenever a user signs in. `verify_session` runs validators: those of
``SuperTokens(claim_validators=[…])``, or those that a view names instead. All of it is synchronous.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from .hooks import require_sync
from .protocol.claims import (
    ClaimValidationResult,
    Fetch,
    SessionClaimValidator,
    ValueRule,
    copy_json,
    has,
    has_all,
    has_any,
)
from .protocol.claims import SessionClaim as BaseClaim
from .protocol.model import Payload
from .sessions.arguments import MaxAge, read_seconds
from .sessions.claims import fetch_and_set_claim, get_claim_value, remove_claim, set_claim_value
from .state import app_state

__all__ = [
    "BooleanClaim",
    "BooleanValidators",
    "ClaimValidationResult",
    "Fetch",
    "PrimitiveArrayClaim",
    "PrimitiveArrayValidators",
    "PrimitiveClaim",
    "PrimitiveValidators",
    "SessionClaim",
    "SessionClaimValidator",
    "fetch_and_set_claim",
    "get_claim_value",
    "remove_claim",
    "set_claim_value",
]

T = TypeVar("T")


class SessionClaim(BaseClaim[T]):
    """A fact about a user, kept in the access token.

    :param key: its name in the payload.
    :param fetch_value: ``fetch_value(user_id, tenant_id, current_payload)``: the value, JSON; ``None`` removes the claim.
    :raises ValueError: the protocol uses this name.
    """

    def fetch(self, user_id: str, tenant_id: str, payload: Payload) -> Payload:
        """Fetch the current value and return what to merge into the payload.

        :raises TypeError: ``fetch_value`` is a coroutine function.
        :raises ValueError: the value is not JSON.
        """
        value = self.fetch_value(user_id, tenant_id, payload)
        return self.update(require_sync(value, f"fetch_value of the claim {self.key!r}"))

    def update(self, value: T | None) -> Payload:
        """Return what to merge into a payload so that it holds this value; ``None`` removes the claim.

        :raises ValueError: the value is not JSON.
        """
        if value is None:
            return self.removal()
        return {
            self.key: {"v": copy_json(value, f"the value of the claim {self.key!r}"), "t": app_state().engine.now()}
        }


# -- validators of claims ----------------------------------------------------------------------------------------------


class _ValueValidator(SessionClaimValidator):
    """Judges a claim by a rule and the current age of its value."""

    def __init__(self, rule: ValueRule, id: str | None) -> None:
        super().__init__(rule.claim.key if id is None else id, rule.claim)
        self._rule = rule

    def should_refetch(self, payload: Payload) -> bool:
        return self._rule.needs_fetch(payload, self._age(payload))

    def validate(self, payload: Payload) -> ClaimValidationResult:
        return self._rule.judge(payload, self._age(payload))

    def validate_fetched(self, payload: Payload) -> ClaimValidationResult:
        return self._rule.judge_fetched(payload)

    def _age(self, payload: Payload) -> float | None:
        """Return the age of the value in seconds; ``None`` if it is unknown or the rule has no ``max_age``."""
        fetched_at = None if self._rule.max_age is None else self._rule.claim.fetched_at(payload)
        return None if fetched_at is None else (app_state().engine.now() - fetched_at) / 1000


class _Validators:
    """Makes validators of a claim. ``max_age``, in seconds, is the default."""

    def __init__(self, claim: BaseClaim[Any], max_age: float | None) -> None:
        self._claim = claim
        self._max_age = max_age

    def _make_validator(
        self, word: str, wanted: Any, suits: Callable[[Any, Any], bool], max_age: MaxAge, id: str | None
    ) -> SessionClaimValidator:
        """Make a validator; ``word`` names what is wanted in the reason."""
        limit = self._max_age if max_age is None else read_seconds(max_age)
        wanted = copy_json(wanted, "what a validator asks for")
        return _ValueValidator(ValueRule(self._claim, word, wanted, suits, limit), id)


class PrimitiveValidators(_Validators, Generic[T]):
    """The validators of a `PrimitiveClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def has_value(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require this value."""
        return self._make_validator("expectedValue", value, lambda found, wanted: has([found], wanted), max_age, id)


class BooleanValidators(PrimitiveValidators[bool]):
    """The validators of a `BooleanClaim`."""

    def is_true(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require true."""
        return self.has_value(True, max_age, id)

    def is_false(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require false."""
        return self.has_value(False, max_age, id)


class PrimitiveArrayValidators(_Validators, Generic[T]):
    """The validators of a `PrimitiveArrayClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def includes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require a list with this member."""
        return self._make_list_validator("expectedToInclude", value, has, max_age, id)

    def excludes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require a list without this member."""
        return self._make_list_validator(
            "expectedToNotInclude", value, lambda found, one: not has(found, one), max_age, id
        )

    def includes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require a list with all of these members."""
        return self._make_list_validator("expectedToInclude", _to_list(values), has_all, max_age, id)

    def includes_any(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require a list with at least one of these members."""
        return self._make_list_validator("expectedToIncludeAtLeastOneOf", _to_list(values), has_any, max_age, id)

    def excludes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Require a list with none of these members."""
        unwanted = _to_list(values)
        return self._make_list_validator(
            "expectedToNotInclude", unwanted, lambda found, some: not has_any(found, some), max_age, id
        )

    def _make_list_validator(
        self, word: str, wanted: Any, suits: Callable[[list[Any], Any], bool], max_age: MaxAge, id: str | None
    ) -> SessionClaimValidator:
        """Make a validator that only a list suits."""
        return self._make_validator(
            word, wanted, lambda found, one: isinstance(found, list) and suits(found, one), max_age, id
        )


def _to_list(values: Iterable[T]) -> list[T]:
    if isinstance(values, str):
        raise ValueError("values must be a list; for one value use includes or excludes")
    return list(values)


# -- claims to use -----------------------------------------------------------------------------------------------------


class PrimitiveClaim(SessionClaim[T]):
    """A claim whose value is a text, a number or a boolean.

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None`` accepts any age.
    """

    def __init__(self, key: str, fetch_value: Fetch[T], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value)
        self.validators: PrimitiveValidators[T] = PrimitiveValidators(self, read_seconds(default_max_age))


class BooleanClaim(PrimitiveClaim[bool]):
    """A claim that is true or false."""

    validators: BooleanValidators

    def __init__(self, key: str, fetch_value: Fetch[bool], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value, default_max_age)
        self.validators = BooleanValidators(self, read_seconds(default_max_age))


class PrimitiveArrayClaim(SessionClaim[list[T]]):
    """A claim whose value is a list of texts, numbers or booleans: roles, permissions.

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None`` accepts any age.
    """

    def __init__(self, key: str, fetch_value: Fetch[list[T]], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value)
        self.validators: PrimitiveArrayValidators[T] = PrimitiveArrayValidators(self, read_seconds(default_max_age))
