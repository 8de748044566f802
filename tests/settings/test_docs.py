"""The page *Configuration* says what the code does: keys, defaults, and which engine a key is for."""

from __future__ import annotations

import pathlib
import re
from dataclasses import fields
from datetime import timedelta
from typing import Any

import pytest

from flask_supertokens.settings.keys import KEYS, RENAMED
from flask_supertokens.settings.reading import read_settings

ROOT = pathlib.Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text("utf-8")
ENTRY = re.compile(
    r"^```\{confval\} (\w+)\n:type: [^\n]+\n:default: `([^\n]+)`\n\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
ENTRIES = {key: (default, text) for key, default, text in ENTRY.findall(PAGE)}
SECRETS = {"SECRET_KEY", "SECRET_KEY_FALLBACKS"}
A_CORE = {"SUPERTOKENS_CONNECTION_URI": "https://core.example.com"}
VALUES = {
    "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": 900,
    "SUPERTOKENS_API_KEY": "a-key-of-the-core",
    "SUPERTOKENS_CORE_API_KEYS": "a-key-of-another-service",
    "SUPERTOKENS_MAX_SESSIONS_PER_USER": 5,
    "SUPERTOKENS_SESSION_MAX_LIFETIME": 86400,
}
"""Good values of keys whose default is none, or too special."""


def test_every_key_is_documented_and_no_other() -> None:
    """And no other: nobody looks for a key in vain, or sets one that does nothing."""
    assert set(ENTRIES) == set(KEYS) | SECRETS


def test_the_defaults_are_those_of_the_code() -> None:
    """What the page gives is read as if it were set, and is what stands in where nothing is set."""
    settings = read_settings({"SECRET_KEY": "k"})
    fields_of = {one.metadata["key"].name: one.name for one in fields(settings) if "key" in one.metadata}
    for key, name in fields_of.items():
        told, read = eval(ENTRIES[key][0], {"timedelta": timedelta}), getattr(settings, name)
        if told is None and (read == () or callable(KEYS[key].default)):
            continue  # nothing is set, or the page says what it follows from
        assert (key, told if told in (None, ()) else KEYS[key].read(told)) == (key, read)


def is_refused(key: str, value: Any, **others: Any) -> bool:
    """Whether a good value is a mistake because of the engine."""
    try:
        read_settings({"SECRET_KEY": "k", **others, key: value})
    except ValueError as error:
        return any(words in str(error) for words in ("the core decides that", "only for an app"))
    return False


def a_good_value(key: str) -> Any:
    default = eval(ENTRIES[key][0], {"timedelta": timedelta})
    return VALUES.get(key, "/a-path" if default is None else default)


@pytest.mark.parametrize("key", sorted(set(ENTRIES) - SECRETS - set(A_CORE)))
def test_the_page_says_for_which_engine_a_key_is(key: str) -> None:
    """A key that is refused on a core is "Embedded engine only", one that is refused without is "Cores only"."""
    text = ENTRIES[key][1]
    assert is_refused(key, a_good_value(key), **A_CORE) == ("Embedded engine only." in text)
    assert is_refused(key, a_good_value(key)) == ("Cores only." in text)


def test_the_page_says_what_became_of_older_names() -> None:
    """The page says what became of them."""
    for old, new in RENAMED.items():
        assert f"`{old}` is `{new}` now" in PAGE


def test_no_text_names_a_key_that_is_not_there() -> None:
    """Neither a page nor the package: who finds a key somewhere finds it on this page."""
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "flask_supertokens").rglob("*.py")]
    named = {path.name: set(re.findall(r"\bSUPERTOKENS_[A-Z_]*[A-Z]\b", path.read_text("utf-8"))) for path in texts}
    known = {*ENTRIES, *RENAMED, "SUPERTOKENS_PORT"}  # Kubernetes sets the last one
    assert {name: keys - known for name, keys in named.items() if keys - known} == {}
    assert "SUPERTOKENS_DATABASE_URI" in named["README.md"]
