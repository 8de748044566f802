"""Arguments that several functions take, checked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from ..protocol.model import Payload
from ..protocol.payloads import parse_json_object, to_json_object

MaxAge = float | timedelta | None
_LONGEST_AGE = 10**11
_LARGEST_PAGE = 10**9


def read_seconds(age: MaxAge) -> float | None:
    """Read an age in seconds.

    :raises ValueError: not a number or timedelta, less than 0, or for ever.
    """
    if age is None:
        return None
    number = age.total_seconds() if isinstance(age, timedelta) else age
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < _LONGEST_AGE:
        raise ValueError("an age must be seconds or a datetime.timedelta, 0 or more")
    return number


def copy_json_object(value: Mapping[str, Any], what: str) -> Payload:
    """Copy an object, as JSON has it (names are strings there).

    :raises ValueError: it is no JSON object.
    """
    encoded = to_json_object(value, what)
    return {} if encoded == "{}" else parse_json_object(encoded)


def check_text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{what} must be a string, not {type(value).__name__}")
    return value


def wants_anti_csrf(token: str | None, asked: bool) -> bool:
    """Tell whether an anti-CSRF token is compared: a given one always is, and none is a refusal where one is asked for.

    :raises ValueError: it is no string.
    """
    if token is not None:
        check_text(token, "anti_csrf_token")
    return asked or token is not None


def check_limit(limit: int | None) -> int | None:
    """Check a limit, and cut it to what a database can count to.

    :raises ValueError: no whole number of 1 or more.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ValueError("limit must be a whole number, 1 or more")
    return None if limit is None else min(limit, _LARGEST_PAGE)
