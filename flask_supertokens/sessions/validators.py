"""Claim validators: which count for a call, and what they have against a payload."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from ..hooks import require_sync
from ..protocol.claims import ClaimValidationResult, SessionClaimValidator
from ..protocol.model import Payload
from ..protocol.payloads import to_json_object
from ..state import AppState

Validators = Iterable[SessionClaimValidator] | Callable[[list[SessionClaimValidator]], Iterable[SessionClaimValidator]]
_OF_A_VALIDATOR = ("id", "claim", "should_refetch", "validate", "validate_fetched")


def choose_validators(state: AppState, asked: Validators | None) -> list[SessionClaimValidator]:
    """Choose the validators that count for one call."""
    defaults = list(state.hooks.claim_validators)
    if asked is None:
        return defaults
    wanted = require_sync(asked(defaults), "The callable of claim_validators") if callable(asked) else asked
    if wanted is None or callable(wanted):
        raise TypeError(f"The callable of claim_validators returned {wanted!r}; it must return a list of validators.")
    check_validators(wanted)
    return list(wanted)


def check_validators(asked: Any) -> None:
    """Check the argument ``claim_validators``.

    :raises TypeError: this is neither a list of validators, nor a callable that could return one, nor ``None``.
    """
    if asked is None or callable(asked):
        return
    if not isinstance(asked, list | tuple) or not all(hasattr(one, name) for one in asked for name in _OF_A_VALIDATOR):
        raise TypeError(
            f"claim_validators must be a list of validators, or a callable that returns one, not {asked!r}."
        )


def list_objections(validators: list[SessionClaimValidator], payload: Payload, fetched: Payload) -> list[Payload]:
    """List what the validators have against a payload, in the form that the web client reads."""
    errors: list[Payload] = []
    for validator in validators:
        result = _ask(validator, copy.deepcopy(payload), fetched)
        if not result.is_valid:
            reason = {} if result.reason is None else {"reason": result.reason}
            to_json_object(reason, f"the reason of the validator {validator.id!r}")
            errors.append({"id": validator.id, **reason})
    return errors


def _ask(validator: SessionClaimValidator, payload: Payload, fetched: Payload) -> ClaimValidationResult:
    is_fresh = validator.claim is not None and validator.claim.key in fetched
    found = validator.validate_fetched(payload) if is_fresh else validator.validate(payload)
    result: Any = require_sync(found, f"validate of the validator {validator.id!r}")
    if not isinstance(getattr(result, "is_valid", None), bool):
        raise TypeError(f"The validator {validator.id!r} returned {result!r}; it must return a ClaimValidationResult.")
    return result  # type: ignore[no-any-return]
