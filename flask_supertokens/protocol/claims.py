"""What sessions know of claims and validators, and the rules of the validators that come with a claim.

A claim stands in the payload as ``{key: {"v": value, "t": milliseconds}}``: its value and when it was fetched. Nothing here knows
what time it is: the classes of `flask_supertokens.claims`, which apps use, ask the app and hand it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from .model import Payload
from .payloads import PROTECTED_NAMES, parse_json_object, to_json_object

T = TypeVar("T")
Fetch = Callable[[str, str, Payload], "T | None"]


@dataclass(frozen=True)
class ClaimValidationResult:
    """What a validator found. ``reason`` is JSON and goes to the client."""

    is_valid: bool
    reason: Any = None


class SessionClaimValidator:
    """Asks something of a session's payload; subclass it, or take one of a claim (``claim.validators``).

    :param id: names it in the response to the client.
    :param claim: what to fetch when `should_refetch` says so.
    """

    def __init__(self, id: str, claim: SessionClaim[Any] | None = None) -> None:
        if not isinstance(id, str) or not id:
            raise ValueError(f"{id!r} can't name a validator: the client gets the name, a text")
        self.id = id
        self.claim = claim

    def should_refetch(self, payload: Payload) -> bool:
        """Tell whether the claim's value must be fetched before it is judged."""
        return False

    def validate(self, payload: Payload) -> ClaimValidationResult:
        """Judge a payload (a copy)."""
        raise NotImplementedError(f"{type(self).__name__} must define validate(payload)")

    def validate_fetched(self, payload: Payload) -> ClaimValidationResult:
        """Judge a payload whose claim was fetched a moment ago: its age does not matter then. As `validate`, unless defined."""
        return self.validate(payload)


class SessionClaim(Generic[T]):
    """A fact about a user, as far as sessions know it; apps make those of `flask_supertokens.claims`, which know the time."""

    def __init__(self, key: str, fetch_value: Fetch[T]) -> None:
        if not isinstance(key, str) or not key or key in PROTECTED_NAMES:
            raise ValueError(f"{key!r} can't name a claim: it is empty, or belongs to the protocol")
        self.key = key
        self.fetch_value = fetch_value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.key!r})"

    def fetch(self, user_id: str, tenant_id: str, payload: Payload) -> Payload:
        """Fetch the value and return what to merge into the payload."""
        raise NotImplementedError

    def update(self, value: T | None) -> Payload:
        """Return what to merge into a payload so that it holds this value."""
        raise NotImplementedError

    def removal(self) -> Payload:
        """Return what to merge into a payload so that the claim is gone."""
        return {self.key: None}

    def value_in(self, payload: Mapping[str, Any]) -> T | None:
        """Return the value, or ``None`` where there is none."""
        stored = payload.get(self.key)
        return stored.get("v") if isinstance(stored, Mapping) else None

    def fetched_at(self, payload: Mapping[str, Any]) -> int | None:
        """Return when the value was fetched, in ms."""
        stored = payload.get(self.key)
        moment = stored.get("t") if isinstance(stored, Mapping) else None
        return moment if isinstance(moment, int) and not isinstance(moment, bool) else None


@dataclass(frozen=True)
class ValueRule:
    """What is asked of a claim's value: that it is there, young enough and right. Ages are in seconds.

    ``word`` names the question in the reason, ``suits`` is told a value and what is wanted.
    """

    claim: SessionClaim[Any]
    word: str
    wanted: Any
    suits: Callable[[Any, Any], bool]
    max_age: float | None

    def needs_fetch(self, payload: Payload, age: float | None) -> bool:
        """Tell whether the value is missing or too old."""
        return self.claim.value_in(payload) is None or self._is_expired(age)

    def judge(self, payload: Payload, age: float | None) -> ClaimValidationResult:
        """Judge a value of this age."""
        if self.claim.value_in(payload) is not None and self._is_expired(age):
            reason = {"message": "expired", "ageInSeconds": age, "maxAgeInSeconds": self.max_age}
            return ClaimValidationResult(False, reason)
        return self.judge_fetched(payload)

    def judge_fetched(self, payload: Payload) -> ClaimValidationResult:
        """Judge a value that was fetched a moment ago."""
        value = self.claim.value_in(payload)
        if value is not None and self.suits(value, self.wanted):
            return ClaimValidationResult(True)
        message = "value does not exist" if value is None else "wrong value"
        return ClaimValidationResult(False, {"message": message, self.word: self.wanted, "actualValue": value})

    def _is_expired(self, age: float | None) -> bool:
        return self.max_age is not None and (age is None or age > self.max_age)


def has(found: list[Any], wanted: Any) -> bool:
    """Tell whether a value is among these; other than in Python, ``true`` is not 1."""
    return any(one == wanted and isinstance(one, bool) == isinstance(wanted, bool) for one in found)


def has_all(found: list[Any], wanted: list[Any]) -> bool:
    """Tell whether all of these values are among those."""
    return all(has(found, one) for one in wanted)


def has_any(found: list[Any], wanted: list[Any]) -> bool:
    """Tell whether one of these values is among those."""
    return any(has(found, one) for one in wanted)


def copy_json(value: Any, what: str) -> Any:
    """Copy a value, as JSON has it.

    :raises ValueError: it is not JSON.
    """
    return parse_json_object(to_json_object({"v": value}, what))["v"]
