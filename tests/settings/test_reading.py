"""All settings together: mistakes in one text, and older names."""

from __future__ import annotations

import pickle
import warnings

import pytest
from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.settings.reading import WrongSettingsError
from flask_supertokens.stores.memory import MemoryStore

from ..support.settings import mistakes, settings


def test_several_wrong_settings_are_told_in_one_text_each_with_its_fix() -> None:
    """All mistakes come in one text, each with its fix, and the nearest name for an unknown key."""
    text = mistakes(ANTI_CSRF="yes", ACCESS_TOKEN_LIFETIM=5, API_KEY="x", COOKIE_SECURE="perhaps", XYZZY=1)
    assert text.count("\n  * ") == 5
    assert "SUPERTOKENS_ACCESS_TOKEN_LIFETIM is not a setting" in text
    assert "Did you mean SUPERTOKENS_ACCESS_TOKEN_LIFETIME?" in text
    assert "SUPERTOKENS_XYZZY is not a setting of flask_supertokens. Remove it." in text


def test_an_error_of_wrong_settings_survives_pickling_with_its_text() -> None:
    """The error is a `ValueError` with the same text, also when it was pickled."""
    with pytest.raises(ValueError, match="SUPERTOKENS_XYZZY") as caught:
        settings(XYZZY=1)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (WrongSettingsError, str(caught.value))


def test_an_old_name_works_with_a_warning_that_names_the_new_one() -> None:
    """It works, with a warning that names the new one and points at the user's own line."""
    app = Flask("old")
    app.config.update(SECRET_KEY="k", SUPERTOKENS_REFRESH_TOKEN_PATH="/old")
    with pytest.warns(
        DeprecationWarning, match="SUPERTOKENS_REFRESH_TOKEN_PATH is called SUPERTOKENS_REFRESH_PATH now"
    ) as seen:
        SuperTokens(store=MemoryStore()).init_app(app)
    assert app.extensions["supertokens"].settings.refresh_path == "/old"
    assert [warning.filename for warning in seen] == [__file__]


def test_the_new_name_counts_where_the_old_one_is_set_too() -> None:
    """The new one counts."""
    with pytest.warns(DeprecationWarning, match="is called SUPERTOKENS_REFRESH_PATH now"):
        assert settings(REFRESH_TOKEN_PATH="/old", REFRESH_PATH="/new").refresh_path == "/new"


def test_the_old_name_for_the_hosts_of_a_core_works_with_a_warning() -> None:
    """The name is understood, with a warning that names the new one."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert settings(HOSTS="http://localhost:3567").core_uris == ("http://localhost:3567",)
    assert [warning.category for warning in seen] == [DeprecationWarning]
