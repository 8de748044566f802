"""A core to run: its settings come from the environment."""

from __future__ import annotations

import logging
import pathlib
from collections.abc import Callable

import pytest
from flask import Flask

from flask_supertokens.core_app import create_app, create_core

from ..support.apps import close_database
from ..support.caller import API_KEY
from ..support.records import sqlite_uri


def test_the_environment_sets_values_as_json_and_the_secret_as_text(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """JSON where they can be; the secret is a text, though it looks like a number."""
    for name, value in {
        "SECRET_KEY": "12345678",
        "SUPERTOKENS_DATABASE_URI": sqlite_uri(tmp_path),
        "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": "60",
        "SUPERTOKENS_CREATE_TABLES": "true",
        "SUPERTOKENS_CORE_API_KEYS": API_KEY,
    }.items():
        monkeypatch.setenv(name, value)
    app = create_app()
    assert app.extensions["supertokens"].settings.access_token_lifetime == 60_000
    assert app.extensions["supertokens"].settings.secret_keys == ("12345678",)
    core = create_core()
    assert core.test_client().get("/hello").text == "Hello\n"
    close_database(core)


KUBERNETES = {
    "SUPERTOKENS_SERVICE_HOST": "10.96.0.7",
    "SUPERTOKENS_SERVICE_PORT": "3567",
    "SUPERTOKENS_SERVICE_PORT_HTTP": "3567",
    "SUPERTOKENS_PORT": "tcp://10.96.0.7:3567",
    "SUPERTOKENS_PORT_3567_TCP": "tcp://10.96.0.7:3567",
    "SUPERTOKENS_PORT_3567_TCP_PROTO": "tcp",
    "SUPERTOKENS_PORT_3567_TCP_PORT": "3567",
    "SUPERTOKENS_PORT_3567_TCP_ADDR": "10.96.0.7",
}
"""What Kubernetes puts into the environment of each container beside a Service named supertokens."""


def in_the_environment(monkeypatch: pytest.MonkeyPatch, **given: str) -> None:
    """These, a secret, API keys and a database in memory."""
    base = {"SECRET_KEY": "a secret", "SUPERTOKENS_DATABASE_URI": "sqlite://", "SUPERTOKENS_CORE_API_KEYS": API_KEY}
    for name, value in {**base, **given}.items():
        monkeypatch.setenv(name, value)


def test_variables_of_a_kubernetes_service_are_named_in_one_line_and_ignored(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What it sets is no setting of ours: the core starts, and one line names all of them, without what they say."""
    in_the_environment(monkeypatch, **KUBERNETES)
    core = create_core()
    [line] = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert all(f"{name}" in line for name in KUBERNETES)
    assert "10.96.0.7" not in line
    close_database(core)


@pytest.mark.parametrize("create", [create_app, create_core], ids=["commands", "gunicorn"])
def test_a_misspelled_name_in_the_environment_is_told_with_the_nearest_setting(
    create: Callable[[], Flask], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The line says which setting is near, whichever way the core is started."""
    in_the_environment(monkeypatch, SUPERTOKENS_ACCESS_TOKEN_LIFETIM="60")
    core = create()
    assert "SUPERTOKENS_ACCESS_TOKEN_LIFETIM (did you mean SUPERTOKENS_ACCESS_TOKEN_LIFETIME?)" in caplog.text
    close_database(core)


def test_a_core_makes_both_keys_at_its_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both kinds, before the first call: making one takes up to seconds, and SDKs do not wait so long."""
    in_the_environment(monkeypatch)
    core = create_core()
    store = core.extensions["supertokens"].engine.store
    assert sorted(key.kid[:2] for key in store.keys()) == ["d-", "s-"]
    store._engine.dispose()


def test_a_core_that_starts_before_its_database_serves_503_until_it_is_there(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: pathlib.Path
) -> None:
    """It says so and serves: 503, until the database is there."""
    (tmp_path / "instance").write_text("in the way of the folder")
    in_the_environment(monkeypatch, SUPERTOKENS_DATABASE_URI=sqlite_uri(tmp_path))
    core = create_core()
    assert "The core has no signing keys yet" in caplog.text
    client = core.test_client()
    assert client.get("/hello").status_code == 503
    (tmp_path / "instance").unlink()
    assert client.get("/hello").status_code == 200
    close_database(core)


def test_a_wrong_value_in_the_environment_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops the start, with what to write instead."""
    in_the_environment(monkeypatch, SUPERTOKENS_STORE_IP="maybe")
    with pytest.raises(ValueError, match="SUPERTOKENS_STORE_IP = 'maybe': use True or False"):
        create_core()


@pytest.mark.parametrize(
    ("name", "value", "field", "result"),
    [
        ("STORE_IP", "True", "store_ip", True),
        ("STORE_IP", "yes", "store_ip", True),
        ("CREATE_TABLES", "off", "create_tables", False),
        ("ACCESS_TOKEN_LIFETIME", "900", "access_token_lifetime", 900_000),
        ("AUDIENCE", "1234567890", "audience", "1234567890"),
        ("ISSUER", "1e5", "issuer", "1e5"),
        ("CORE_API_KEYS", "1" * 20, "core_api_keys", ("1" * 20,)),
        ("CORE_API_KEYS", f'["{API_KEY}"]', "core_api_keys", (API_KEY,)),
    ],
)
def test_a_value_from_the_environment_is_read_as_people_write_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, result: object
) -> None:
    """As people write it; a text that looks like a number is the text that was written."""
    in_the_environment(monkeypatch, **{f"SUPERTOKENS_{name}": value})
    app = create_app()
    assert getattr(app.extensions["supertokens"].settings, field) == result
    close_database(app)
