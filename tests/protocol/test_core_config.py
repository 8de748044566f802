"""What an app of a core may set for itself, and what is refused by name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from flask_supertokens.protocol.core_config import Lifetimes, merge_config, read_lifetimes

ACCESS, REFRESH = "access_token_validity", "refresh_token_validity"
KEYS = "access_token_dynamic_signing_key_update_interval"
HOUR = 3_600_000
CORE = Lifetimes(access_token=HOUR, refresh_token=100 * 24 * HOUR, signing_key=7 * 24 * HOUR)


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        (ACCESS, 1, "access_token", 1000),
        (ACCESS, "2", "access_token", 2000),
        (ACCESS, 86_400, "access_token", 86_400_000),
        (REFRESH, 61, "refresh_token", 61 * 60_000),
        (REFRESH, 60.5, "refresh_token", 3_630_000),
        (REFRESH, "144000", "refresh_token", 144_000 * 60_000),
        (KEYS, 1, "signing_key", HOUR),
        (KEYS, 0.5, "signing_key", HOUR // 2),
        (KEYS, "0.001", "signing_key", 3600),
        (KEYS, "0.0041", "signing_key", 14_760),
    ],
)
def test_a_lifetime_is_read_in_its_unit_from_a_number_or_a_text(
    name: str, value: Any, field: str, expected: int
) -> None:
    """Seconds, minutes or hours, as a number or as its text; the others are the core's."""
    assert read_lifetimes({name: value}, CORE) == replace(CORE, **{field: expected})


def test_where_nothing_is_set_all_lifetimes_are_the_core_s() -> None:
    """Everything is the core's."""
    assert read_lifetimes({}, CORE) == CORE


def test_where_all_are_set_the_refresh_token_is_compared_with_the_app_s_access_token() -> None:
    """The refresh token is compared with the app's own access token."""
    own = {ACCESS: 2, REFRESH: 0.05, KEYS: 1}
    assert read_lifetimes(own, CORE) == Lifetimes(2000, 3000, HOUR)


WORDS: list[Any] = ["", "abc", "null", "1 ", "0x1", "1e3", "٣", True, [], {}, None]
NUMBERS: list[Any] = [0, -1, "-1", 10**400, 10**11, float("nan"), float("inf"), 1e-9, "9" * 5000, f"1.{'0' * 5000}1"]


@pytest.mark.parametrize("name", [ACCESS, REFRESH, KEYS])
@pytest.mark.parametrize("value", [*WORDS, *NUMBERS], ids=lambda value: repr(value)[:12])
def test_an_error_names_the_wrong_lifetime_and_what_it_may_be(name: str, value: Any) -> None:
    """The text names it and says what it may be."""
    with pytest.raises(ValueError, match=rf"'{name}' must be "):
        read_lifetimes({name: value}, CORE)


@pytest.mark.parametrize("value", [1.5, "1.5", 86_400_001, "86400001", 0.5])
def test_an_access_token_lifetime_that_is_no_whole_second_or_too_long_is_refused(value: Any) -> None:
    """Whole seconds, 86400000 at most."""
    with pytest.raises(ValueError, match=f"'{ACCESS}' must be a whole number of seconds, 1 to 86400000"):
        read_lifetimes({ACCESS: value}, CORE)


@pytest.mark.parametrize(
    "config", [{REFRESH: 60}, {ACCESS: 86_400_000}, {ACCESS: 60, REFRESH: 1}, {ACCESS: "61", REFRESH: "1"}]
)
def test_an_access_token_that_would_outlive_its_session_is_refused(config: dict[str, Any]) -> None:
    """Refused, as by a real core."""
    with pytest.raises(ValueError, match=f"'{REFRESH}' must be longer than '{ACCESS}'"):
        read_lifetimes(config, CORE)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({REFRESH: 60}, "it is 60 min, the other one 3600 s"),
        ({ACCESS: "61", REFRESH: "1"}, "it is 1 min, the other one 61 s"),
        ({ACCESS: 30, REFRESH: 0.5}, "it is 0.5 min, the other one 30 s"),
        ({ACCESS: 86_400_000}, "it is 144000 min, the other one 86400000 s"),
    ],
)
def test_two_lifetimes_that_do_not_go_together_are_told_in_their_units(config: dict[str, Any], said: str) -> None:
    """One is in minutes, the other in seconds, and either may be the core's."""
    with pytest.raises(ValueError, match=re.escape(said)):
        read_lifetimes(config, CORE)


@pytest.mark.parametrize("value", [10**11, 1e-9, "abc"])
@pytest.mark.parametrize(("name", "unit"), [(REFRESH, "minutes"), (KEYS, "hours")])
def test_a_lifetime_that_is_no_duration_is_refused_with_unit_and_bounds(name: str, unit: str, value: Any) -> None:
    """A number may be wrong by its size alone."""
    said = f"'{name}' must be a number of {unit}: a second at least, 100 years at most"
    with pytest.raises(ValueError, match=re.escape(said)):
        read_lifetimes({name: value}, CORE)


def test_a_name_that_is_not_ours_is_refused_with_the_units_of_those_that_are() -> None:
    """What an app may set is named with what its number counts."""
    with pytest.raises(ValueError, match=re.escape(f"{ACCESS} (seconds), {REFRESH} (minutes) and {KEYS} (hours)")):
        read_lifetimes({"port": 1}, CORE)


@pytest.mark.parametrize(
    "name", ["port", "api_keys", "access_token_validity ", "postgresql_connection_uri", "totp_max"]
)
def test_an_unknown_name_is_refused_and_the_known_ones_are_named(name: str) -> None:
    """It is named, with those that there are."""
    with pytest.raises(ValueError, match=rf"(?s){KEYS}") as refusal:
        read_lifetimes({name: 1}, CORE)
    assert name.strip() in str(refusal.value) or "a name" in str(refusal.value)


def test_a_text_that_is_no_name_is_refused_without_being_repeated() -> None:
    """What could be markup is not repeated."""
    with pytest.raises(ValueError, match="not supported") as refusal:
        read_lifetimes({"<script>": 1}, CORE)
    assert "<" not in str(refusal.value)


@pytest.mark.parametrize("name", ["access_token_blacklisting", "access_token_signing_key_dynamic"])
def test_a_name_of_older_versions_is_taken_without_an_effect(name: str) -> None:
    """Real cores read these for CDI 2.18 and older only: taken, if it is true or false, without an effect."""
    for value in (True, False, "true", "false"):
        assert read_lifetimes({name: value}, CORE) == CORE
    with pytest.raises(ValueError, match=f"'{name}' must be true or false"):
        read_lifetimes({name: 1}, CORE)


def test_an_update_replaces_what_it_names_removes_nulls_and_keeps_the_rest() -> None:
    """What is named is replaced, null takes it away, the rest stays."""
    assert merge_config({ACCESS: 1, REFRESH: 60}, {ACCESS: None, KEYS: "2"}) == {REFRESH: 60, KEYS: "2"}
    assert merge_config({ACCESS: 1}, {REFRESH: None}) == {ACCESS: 1}
