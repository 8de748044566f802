"""Settings as tests give them: names without their prefix."""

from __future__ import annotations

from typing import Any

import pytest

from flask_supertokens.settings.keys import Settings
from flask_supertokens.settings.reading import read_settings


def settings(**given: Any) -> Settings:
    """The settings of a config; names without their prefix."""
    return read_settings({"SECRET_KEY": "k"} | {f"SUPERTOKENS_{name}": value for name, value in given.items()})


def mistakes(**given: Any) -> str:
    """The text of the refusal."""
    with pytest.raises(ValueError, match="can't start with these settings") as caught:
        settings(**given)
    return str(caught.value)


def core_settings(**values: Any) -> Settings:
    """Settings of an app that has no secret and no database."""
    return read_settings({f"SUPERTOKENS_{key}": value for key, value in values.items()})


def core_mistakes(**values: Any) -> str:
    with pytest.raises(ValueError, match="can't start") as caught:
        core_settings(**values)
    return str(caught.value)
