"""The rules of the validators that come with a claim: a payload and an age in, a judgement out."""

from __future__ import annotations

from typing import Any

import pytest

from flask_supertokens.protocol.claims import ClaimValidationResult, SessionClaim, ValueRule, has

CLAIM: SessionClaim[str] = SessionClaim("c", lambda *_: None)
RIGHT, WRONG, MISSING = {"c": {"v": "a"}}, {"c": {"v": "b"}}, {"c": {"v": None}}


def rule(max_age: float | None) -> ValueRule:
    return ValueRule(CLAIM, "expectedValue", "a", lambda found, wanted: has([found], wanted), max_age)


def message(result: ClaimValidationResult) -> str | None:
    return None if result.is_valid else result.reason["message"]


@pytest.mark.parametrize(
    ("max_age", "age", "is_expired"),
    [(None, None, False), (None, 10**9, False), (60, 60, False), (60, 60.001, True), (0, 0, False), (60, None, True)],
)
def test_a_value_that_is_too_old_or_of_unknown_age_is_fetched_and_refused(
    max_age: Any, age: Any, is_expired: bool
) -> None:
    """An age that is not known is too old; without a limit no age is."""
    assert rule(max_age).needs_fetch(RIGHT, age) is is_expired
    assert message(rule(max_age).judge(RIGHT, age)) == ("expired" if is_expired else None)
    assert message(rule(max_age).judge(WRONG, age)) == ("expired" if is_expired else "wrong value")


@pytest.mark.parametrize("max_age", [None, 60])
@pytest.mark.parametrize("payload", [MISSING, {}, {"c": "foreign"}])
def test_a_missing_value_is_fetched_and_refused_whatever_its_age_would_be(max_age: Any, payload: Any) -> None:
    """However old it would be."""
    assert rule(max_age).needs_fetch(payload, None) is True
    assert message(rule(max_age).judge(payload, None)) == "value does not exist"


def test_a_value_that_was_just_fetched_is_judged_by_itself_not_by_its_age() -> None:
    """It is judged by itself."""
    assert [message(rule(0).judge_fetched(payload)) for payload in (RIGHT, WRONG, MISSING)] == [
        None,
        "wrong value",
        "value does not exist",
    ]
