"""Reading ``app.config`` into `Settings`, once, when the app starts.

All mistakes are collected and raised in one error, each with its fix. Nothing is accepted and ignored: an unknown key
names its nearest neighbour, and a key that the engine has no use for is refused.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any

import click

from . import checks
from .defaults import Draft, MistakeError
from .keys import KEYS, RENAMED, Key, Settings


class WrongSettingsError(click.ClickException, ValueError):
    """The settings are wrong. A command that makes the app ends with this text alone and code 1: click shows no traceback."""


def read_settings(config: Mapping[str, Any], *, needs_database: bool = True, needs_secret: bool = True) -> Settings:
    """Read and check the settings.

    :param config: ``app.config``.
    :param needs_database: ``False`` when the app brought a database engine, a store or a session engine of its own.
    :param needs_secret: ``False`` when the app brought a session engine, which signs by itself.
    :raises WrongSettingsError: with every mistake and its fix in one text.
    """
    draft = Draft(_use_new_names(config), needs_database=needs_database, needs_secret=needs_secret)
    mistakes = list(_read_fields(draft))
    settings = Settings(**draft.fields)
    mistakes += checks.find_unused(draft)
    mistakes += checks.find_contradictions(settings)
    mistakes += _find_unknown(draft.config)
    if mistakes:
        lines = "\n".join(f"  * {mistake}" for mistake in mistakes)
        raise WrongSettingsError(f"flask_supertokens can't start with these settings:\n{lines}")
    return settings


def known_keys() -> frozenset[str]:
    """Every ``SUPERTOKENS_*`` key that `read_settings` takes, older names too."""
    return frozenset({*KEYS, *RENAMED}) - {"APPLICATION_ROOT"}


def find_nearest(key: str, known: Iterable[str]) -> str | None:
    """Find the key that was meant by one that does not exist."""
    names = {name.removeprefix("SUPERTOKENS_"): name for name in sorted(known)}
    near = difflib.get_close_matches(key.removeprefix("SUPERTOKENS_"), names, n=1)
    return names[near[0]] if near else None


def _use_new_names(config: Mapping[str, Any]) -> dict[str, Any]:
    """Copy the config with today's names of keys; where both names are set, today's counts."""
    renamed = dict(config)
    for old, new in RENAMED.items():
        if old in renamed:
            warnings.warn(f"{old} is called {new} now.", DeprecationWarning, stacklevel=4)
            renamed.setdefault(new, renamed.pop(old))
    return renamed


def _read_fields(draft: Draft) -> Iterator[str]:
    """Fill the draft in the order of the table. A value that can't be read is a mistake, and the default stands in for it."""
    for one in fields(Settings):
        entry: Key | None = one.metadata.get("key")
        default = one.metadata["make"] if entry is None else entry.default
        value = None if entry is None else draft.config.get(entry.name)
        if one.name == "database_uri" and not draft.uses_database:
            draft.fields[one.name] = ""  # a driver that nobody uses may be missing
            continue
        if entry is not None and value is not None:
            try:
                draft.fields[one.name] = entry.read(value)
                continue
            except ValueError as error:
                shown = "" if entry.is_secret else f" = {value!r}"
                yield f"{entry.name}{shown}: {error}"
        try:
            draft.fields[one.name] = default(draft) if callable(default) else default
        except MistakeError as mistake:
            draft.fields[one.name] = mistake.instead
            yield str(mistake)


def _find_unknown(config: Mapping[str, Any]) -> Iterator[str]:
    for name in config:
        if name.startswith("SUPERTOKENS_") and name not in KEYS:
            near = find_nearest(name, known_keys() - set(RENAMED))
            hint = f" Did you mean {near}?" if near else " Remove it."
            yield f"{name} is not a setting of flask_supertokens.{hint}"
