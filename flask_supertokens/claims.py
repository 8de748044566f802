"""Session claims: facts about a user that travel in the access token, and validators that ask for them.

A claim stands in the payload as ``{key: {"v": value, "t": milliseconds}}``: its value and when it was fetched. A validator looks
at the payload of a session and says whether it suffices; one of a claim says also when the value must be fetched anew.

Claims are built at log-in when `SuperTokens` knows them (``claims=[…]``). Validators are asked by `verify_session`: those of
`SuperTokens` (``claim_validators=[…]``), or the ones that a view names instead. All of it is synchronous.
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
    :raises ValueError: the name belongs to the protocol.
    """

    def fetch(self, user_id: str, tenant_id: str, payload: Payload) -> Payload:
        """Fetch the value of now and return what to merge into the payload.

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
    """Judges a claim by a rule, at the age that its value has now."""

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
        """Return how long ago the value was fetched, in seconds; ``None`` where that is not known, or nobody asks."""
        fetched_at = None if self._rule.max_age is None else self._rule.claim.fetched_at(payload)
        return None if fetched_at is None else (app_state().engine.now() - fetched_at) / 1000


class _Validators:
    """Makes validators of a claim. ``max_age`` is in seconds and counts for those that are given none."""

    def __init__(self, claim: BaseClaim[Any], max_age: float | None) -> None:
        self._claim = claim
        self._max_age = max_age

    def _ask(
        self, word: str, wanted: Any, suits: Callable[[Any, Any], bool], max_age: MaxAge, id: str | None
    ) -> SessionClaimValidator:
        """Make a validator; ``word`` names the question in the reason."""
        limit = self._max_age if max_age is None else read_seconds(max_age)
        wanted = copy_json(wanted, "what a validator asks for")
        return _ValueValidator(ValueRule(self._claim, word, wanted, suits, limit), id)


class PrimitiveValidators(_Validators, Generic[T]):
    """The validators of a `PrimitiveClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def has_value(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for this value."""
        return self._ask("expectedValue", value, lambda found, wanted: has([found], wanted), max_age, id)


class BooleanValidators(PrimitiveValidators[bool]):
    """The validators of a `BooleanClaim`."""

    def is_true(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for true."""
        return self.has_value(True, max_age, id)

    def is_false(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for false."""
        return self.has_value(False, max_age, id)


class PrimitiveArrayValidators(_Validators, Generic[T]):
    """The validators of a `PrimitiveArrayClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def includes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for a list with this member."""
        return self._ask_list("expectedToInclude", value, has, max_age, id)

    def excludes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for a list without this member."""
        return self._ask_list("expectedToNotInclude", value, lambda found, one: not has(found, one), max_age, id)

    def includes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for a list with all of these members."""
        return self._ask_list("expectedToInclude", _members(values), has_all, max_age, id)

    def includes_any(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for a list with at least one of these members."""
        return self._ask_list("expectedToIncludeAtLeastOneOf", _members(values), has_any, max_age, id)

    def excludes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """Ask for a list with none of these members."""
        unwanted = _members(values)
        return self._ask_list(
            "expectedToNotInclude", unwanted, lambda found, some: not has_any(found, some), max_age, id
        )

    def _ask_list(
        self, word: str, wanted: Any, suits: Callable[[list[Any], Any], bool], max_age: MaxAge, id: str | None
    ) -> SessionClaimValidator:
        """Make a validator that nothing but a list suits."""
        return self._ask(word, wanted, lambda found, one: isinstance(found, list) and suits(found, one), max_age, id)


def _members(values: Iterable[T]) -> list[T]:
    if isinstance(values, str):
        raise ValueError("values must be a list; for one value use includes or excludes")
    return list(values)


# -- claims to use -----------------------------------------------------------------------------------------------------


class PrimitiveClaim(SessionClaim[T]):
    """A claim whose value is a text, a number or a boolean.

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None``: any age will do.
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

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None``: any age will do.
    """

    def __init__(self, key: str, fetch_value: Fetch[list[T]], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value)
        self.validators: PrimitiveArrayValidators[T] = PrimitiveArrayValidators(self, read_seconds(default_max_age))
