"""``coreConfig``: what an app of a core sets for itself, in the names and units of a SuperTokens core.

Three lifetimes. A number may be written as its text, ``"0.001"`` for ``0.001``, as on a real core. Every other name is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from .model import Payload

ACCESS_TOKEN = "access_token_validity"  # noqa: S105 - a name
REFRESH_TOKEN = "refresh_token_validity"  # noqa: S105 - a name
SIGNING_KEY = "access_token_dynamic_signing_key_update_interval"
_SECOND, _MINUTE, _HOUR = 1000, 60_000, 3_600_000
_LONGEST = 100 * 366 * 24 * _HOUR
_MOST_SECONDS = 86_400_000
_WITHOUT_EFFECT = ("access_token_blacklisting", "access_token_signing_key_dynamic")
"""A real core reads these for versions of CDI that are not spoken here."""


@dataclass(frozen=True)
class Lifetimes:
    """Of access tokens, of sessions that are not used, and of dynamic signing keys; in ms."""

    access_token: int
    refresh_token: int
    signing_key: int


def merge_config(stored: Payload, update: Payload) -> Payload:
    """Merge a PUT into a ``coreConfig``: what is named is replaced, ``null`` takes it away, the rest stays."""
    return {name: value for name, value in {**stored, **update}.items() if value is not None}


def read_lifetimes(config: Payload, of_core: Lifetimes) -> Lifetimes:
    """Read the lifetimes of an app; those that it does not set are the core's.

    :raises ValueError: a name that is not supported, or a value that can't be; the text names it.
    """
    own = of_core
    for name, value in config.items():
        if name == ACCESS_TOKEN:
            own = replace(own, access_token=_seconds(name, value))
        elif name == REFRESH_TOKEN:
            own = replace(own, refresh_token=_duration(name, value, _MINUTE, "minutes"))
        elif name == SIGNING_KEY:
            own = replace(own, signing_key=_duration(name, value, _HOUR, "hours"))
        elif name not in _WITHOUT_EFFECT:
            known = f"{ACCESS_TOKEN} (seconds), {REFRESH_TOKEN} (minutes) and {SIGNING_KEY} (hours)"
            raise ValueError(f"{quote_name(name)} is not supported by this core; an app may set {known}")
        elif not isinstance(value, bool) and value not in ("true", "false"):
            raise ValueError(f"'{name}' must be true or false")
    if own != of_core and own.refresh_token <= own.access_token:
        raise ValueError(
            f"'{REFRESH_TOKEN}' must be longer than '{ACCESS_TOKEN}': it is {own.refresh_token / _MINUTE:.9g} min,"
            f" the other one {own.access_token // _SECOND} s"
        )
    return own


def quote_name(name: str) -> str:
    """Quote a name as a text repeats it, unless it could be anything else."""
    return f"'{name}'" if re.fullmatch(r"[A-Za-z0-9_]{1,80}", name) else "a name"


def _seconds(name: str, value: Any) -> int:
    seconds = _number(value)
    if seconds is None or seconds != int(seconds) or not 1 <= seconds <= _MOST_SECONDS:
        raise ValueError(f"'{name}' must be a whole number of seconds, 1 to {_MOST_SECONDS}")
    return int(seconds) * _SECOND


def _duration(name: str, value: Any, unit: int, unit_name: str) -> int:
    number = _number(value)
    if number is None or not _SECOND <= number * unit <= _LONGEST:
        raise ValueError(f"'{name}' must be a number of {unit_name}: a second at least, 100 years at most")
    return int(number * unit)


def _number(value: Any) -> Decimal | None:
    """Read a number or the text of one, as far as it can be a lifetime at all."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int) and abs(value) > _LONGEST:  # longer texts than Python makes of a number
        return None
    text = value if isinstance(value, str) else format(Decimal(repr(value)), "f")
    return Decimal(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,20})?", text) else None
