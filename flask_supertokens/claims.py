"""Session claims: facts about a user that travel in the access token, and validators that ask for them.

A claim stands in the payload as ``{key: {"v": value, "t": milliseconds}}``: its value and when it was fetched. A validator looks
at the payload of a session and says whether it suffices; one of a claim says also when the value must be fetched anew.

Claims are built at log-in when `SuperTokens` knows them (``claims=[…]``). Validators are asked by `verify_session`: those of
`SuperTokens` (``claim_validators=[…]``), or the ones that a view names instead. All of it is synchronous.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from . import sessions
from .hooks import require_sync
from .protocol.model import Payload
from .protocol.payloads import PROTECTED_NAMES, parse_json_object, to_json_object
from .sessions.arguments import MaxAge, seconds
from .state import app_state

T = TypeVar("T")
Fetch = Callable[[str, str, Payload], "T | None"]


@dataclass(frozen=True)
class ClaimValidationResult:
    """What a validator found. ``reason`` is JSON and goes to the client."""

    is_valid: bool
    reason: Any = None


class SessionClaimValidator:
    """Asks something of a session's payload; subclass it, or take one of a claim (``claim.validators``).

    :param id: names it in the answer to the client.
    :param claim: what to fetch when `should_refetch` says so.
    """

    def __init__(self, id: str, claim: SessionClaim[Any] | None = None) -> None:
        if not isinstance(id, str) or not id:
            raise ValueError(f"{id!r} can't name a validator: the client gets the name, a text")
        self.id = id
        self.claim = claim

    def should_refetch(self, payload: Payload) -> bool:
        """Whether the claim's value must be fetched before it is judged."""
        return False

    def validate(self, payload: Payload) -> ClaimValidationResult:
        """Judge a payload (a copy)."""
        raise NotImplementedError(f"{type(self).__name__} must define validate(payload)")

    def validate_fetched(self, payload: Payload) -> ClaimValidationResult:
        """Judge a payload whose claim was fetched a moment ago: its age does not matter then. As `validate`, unless defined."""
        return self.validate(payload)


class SessionClaim(Generic[T]):
    """A fact about a user, kept in the access token.

    :param key: its name in the payload.
    :param fetch_value: ``fetch_value(user_id, tenant_id, current_payload)``: the value, JSON; ``None`` removes the claim.
    :raises ValueError: the name belongs to the protocol.
    """

    def __init__(self, key: str, fetch_value: Fetch[T]) -> None:
        if not isinstance(key, str) or not key or key in PROTECTED_NAMES:
            raise ValueError(f"{key!r} can't name a claim: it is empty, or belongs to the protocol")
        self.key = key
        self.fetch_value = fetch_value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def fetch(self, user_id: str, tenant_id: str, payload: Payload) -> Payload:
        """What to merge into the payload so that it holds the value of now.

        :raises TypeError: ``fetch_value`` is a coroutine function.
        :raises ValueError: the value is not JSON.
        """
        return self.update(
            require_sync(self.fetch_value(user_id, tenant_id, payload), f"fetch_value of the claim {self.key!r}")
        )

    def update(self, value: T | None) -> Payload:
        """What to merge into a payload so that it holds this value; ``None`` removes the claim.

        :raises ValueError: the value is not JSON.
        """
        if value is None:
            return self.removal()
        return {self.key: {"v": _as_json(value, f"the value of the claim {self.key!r}"), "t": app_state().engine.now()}}

    def removal(self) -> Payload:
        """What to merge into a payload so that the claim is gone."""
        return {self.key: None}

    def value_in(self, payload: Mapping[str, Any]) -> T | None:
        """The value, or ``None`` where there is none."""
        stored = payload.get(self.key)
        return stored.get("v") if isinstance(stored, Mapping) else None

    def fetched_at(self, payload: Mapping[str, Any]) -> int | None:
        """When the value was fetched, in ms."""
        stored = payload.get(self.key)
        moment = stored.get("t") if isinstance(stored, Mapping) else None
        return moment if isinstance(moment, int) and not isinstance(moment, bool) else None


# -- validators of claims ----------------------------------------------------------------------------------------------


class _ValueValidator(SessionClaimValidator, ABC):
    """Asks for a value that is there, young enough and right."""

    def __init__(self, claim: SessionClaim[Any], id: str | None, max_age: float | None) -> None:
        super().__init__(claim.key if id is None else id, claim)
        self.claim: SessionClaim[Any] = claim
        self.max_age = max_age

    @abstractmethod
    def expected(self) -> Payload:
        """How the reason names what is asked for."""

    @abstractmethod
    def suits(self, value: Any) -> bool:
        """Whether a value is right."""

    def should_refetch(self, payload: Payload) -> bool:
        age = self._age(payload)
        return self.claim.value_in(payload) is None or (
            self.max_age is not None and (age is None or age > self.max_age)
        )

    def validate(self, payload: Payload) -> ClaimValidationResult:
        value, age = self.claim.value_in(payload), self._age(payload)
        if value is not None and self.max_age is not None and (age is None or age > self.max_age):
            reason = {"message": "expired", "ageInSeconds": age, "maxAgeInSeconds": self.max_age}
            return ClaimValidationResult(False, reason)
        return self.validate_fetched(payload)

    def validate_fetched(self, payload: Payload) -> ClaimValidationResult:
        value = self.claim.value_in(payload)
        if value is None:
            return self._wrong("value does not exist", value)
        return ClaimValidationResult(True) if self.suits(value) else self._wrong("wrong value", value)

    def _wrong(self, message: str, value: Any) -> ClaimValidationResult:
        return ClaimValidationResult(False, {"message": message, **self.expected(), "actualValue": value})

    def _age(self, payload: Payload) -> float | None:
        """In seconds."""
        fetched_at = self.claim.fetched_at(payload)
        return None if fetched_at is None else (app_state().engine.now() - fetched_at) / 1000


class _HasValue(_ValueValidator):
    def __init__(self, claim: SessionClaim[Any], wanted: Any, id: str | None, max_age: float | None) -> None:
        super().__init__(claim, id, max_age)
        self.wanted = _as_json(wanted, "what a validator asks for")

    def expected(self) -> Payload:
        return {"expectedValue": self.wanted}

    def suits(self, value: Any) -> bool:
        return _has([value], self.wanted)


class _HasMembers(_ValueValidator):
    """Asks a list for members; ``word`` names the question in the reason."""

    def __init__(
        self,
        claim: SessionClaim[Any],
        word: str,
        wanted: Any,
        rule: Callable[[list[Any]], bool],
        options: tuple[str | None, float | None],
    ) -> None:
        super().__init__(claim, *options)
        self.word = word
        self.wanted = _as_json(wanted, "what a validator asks for")
        self._rule = rule

    def expected(self) -> Payload:
        return {self.word: self.wanted}

    def suits(self, value: Any) -> bool:
        return isinstance(value, list) and self._rule(value)


class PrimitiveValidators(Generic[T]):
    """The validators of a `PrimitiveClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def __init__(self, claim: SessionClaim[Any], max_age: float | None) -> None:
        self._claim = claim
        self._max_age = max_age

    def has_value(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The value is this one."""
        return _HasValue(self._claim, value, id, self._seconds(max_age))

    def _seconds(self, max_age: MaxAge) -> float | None:
        return self._max_age if max_age is None else seconds(max_age)


class BooleanValidators(PrimitiveValidators[bool]):
    """The validators of a `BooleanClaim`."""

    def is_true(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The value is true."""
        return self.has_value(True, max_age, id)

    def is_false(self, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The value is false."""
        return self.has_value(False, max_age, id)


class PrimitiveArrayValidators(Generic[T]):
    """The validators of a `PrimitiveArrayClaim`. ``max_age``: seconds or a timedelta; an older value is fetched anew."""

    def __init__(self, claim: SessionClaim[Any], max_age: float | None) -> None:
        self._claim = claim
        self._max_age = max_age

    def includes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The list has this member."""
        return self._asking("expectedToInclude", value, lambda found: _has(found, value), id, max_age)

    def excludes(self, value: T, max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The list does not have this member."""
        return self._asking("expectedToNotInclude", value, lambda found: not _has(found, value), id, max_age)

    def includes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The list has all of these members."""
        wanted = _members(values)
        rule = lambda found: all(_has(found, one) for one in wanted)  # noqa: E731 - one of five rules in a row
        return self._asking("expectedToInclude", wanted, rule, id, max_age)

    def includes_any(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The list has at least one of these members."""
        wanted, word = _members(values), "expectedToIncludeAtLeastOneOf"
        return self._asking(word, wanted, lambda found: any(_has(found, one) for one in wanted), id, max_age)

    def excludes_all(self, values: Iterable[T], max_age: MaxAge = None, id: str | None = None) -> SessionClaimValidator:
        """The list has none of these members."""
        unwanted = _members(values)
        rule = lambda found: not any(_has(found, one) for one in unwanted)  # noqa: E731 - one of five rules in a row
        return self._asking("expectedToNotInclude", unwanted, rule, id, max_age)

    def _asking(
        self,
        word: str,
        wanted: Any,
        rule: Callable[[list[Any]], bool],
        id: str | None,
        max_age: MaxAge,
    ) -> SessionClaimValidator:
        limit = self._max_age if max_age is None else seconds(max_age)
        return _HasMembers(self._claim, word, wanted, rule, (id, limit))


# -- claims to use -----------------------------------------------------------------------------------------------------


class PrimitiveClaim(SessionClaim[T]):
    """A claim whose value is a text, a number or a boolean.

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None``: any age will do.
    """

    def __init__(self, key: str, fetch_value: Fetch[T], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value)
        self.validators: PrimitiveValidators[T] = PrimitiveValidators(self, seconds(default_max_age))


class BooleanClaim(PrimitiveClaim[bool]):
    """A claim that is true or false."""

    validators: BooleanValidators

    def __init__(self, key: str, fetch_value: Fetch[bool], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value, default_max_age)
        self.validators = BooleanValidators(self, seconds(default_max_age))


class PrimitiveArrayClaim(SessionClaim[list[T]]):
    """A claim whose value is a list of texts, numbers or booleans: roles, permissions.

    :param default_max_age: seconds or a timedelta, for validators that name none; ``None``: any age will do.
    """

    def __init__(self, key: str, fetch_value: Fetch[list[T]], default_max_age: MaxAge = None) -> None:
        super().__init__(key, fetch_value)
        self.validators: PrimitiveArrayValidators[T] = PrimitiveArrayValidators(self, seconds(default_max_age))


# -- by handle ---------------------------------------------------------------------------------------------------------


def set_claim_value(session_handle: str, claim: SessionClaim[T], value: T) -> bool:
    """Set a claim of a session; ``False`` if it has ended. Its client sees it with the next refresh.

    :raises ValueError: the value is not JSON; the old one stays.
    """
    return sessions.merge_into_access_token_payload(session_handle, claim.update(value))


def fetch_and_set_claim(session_handle: str, claim: SessionClaim[Any]) -> bool:
    """Fetch a claim of a session anew; ``False`` if it has ended."""
    known = sessions.get_session_information(session_handle)
    if known is None:
        return False
    update = claim.fetch(known.user_id, known.tenant_id, dict(known.access_token_payload))
    return sessions.merge_into_access_token_payload(session_handle, update)


def get_claim_value(session_handle: str, claim: SessionClaim[T]) -> T | None:
    """The value of a claim of a session; ``None`` where there is none, or no session."""
    known = sessions.get_session_information(session_handle)
    return None if known is None else claim.value_in(known.access_token_payload)


def remove_claim(session_handle: str, claim: SessionClaim[Any]) -> bool:
    """Remove a claim of a session; ``False`` if it has ended."""
    return sessions.merge_into_access_token_payload(session_handle, claim.removal())


# -- shared ------------------------------------------------------------------------------------------------------------


def _members(values: Iterable[T]) -> list[T]:
    if isinstance(values, str):
        raise ValueError("values must be a list; for one value use includes or excludes")
    return list(values)


def _has(found: list[Any], wanted: Any) -> bool:
    """Whether a value is among these; other than in Python, ``true`` is not 1."""
    return any(one == wanted and isinstance(one, bool) == isinstance(wanted, bool) for one in found)


def _as_json(value: Any, what: str) -> Any:
    """A copy, as JSON has it.

    :raises ValueError: it is not JSON.
    """
    return parse_json_object(to_json_object({"v": value}, what))["v"]
