"""Commands where a core is at hand: on one, beside one, and ``serve-core``."""

from __future__ import annotations

import pathlib
import subprocess
import sys

import pytest
from flask import Flask

from flask_supertokens import SuperTokens, core_app
from flask_supertokens.core.apps import make_core
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app, close_database
from ..support.commands import created, run, told
from ..support.core_process import CoreProcess
from ..support.records import sql_store, sqlite_uri


def test_rotate_keys_makes_a_new_key_for_a_core_on_the_same_database_too() -> None:
    """It signs with another algorithm: both get a new key."""
    app = an_app(MemoryStore())
    created(app)
    with app.app_context():
        core = make_core(app.extensions["supertokens"], needs_api_keys=False).engine_of("public")
    core.upkeep.make_keys()
    kids = told(app, "rotate-keys", "--yes")["kids"]
    keys = {key.kid: key.algorithm for key in app.extensions["supertokens"].engine.store.keys()}
    assert [keys[kid] for kid in kids] == ["ES256", "RS256"]


def test_rotate_keys_of_a_core_to_run_changes_the_keys_that_the_core_signs_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The commands of `core_app` speak of the keys that the core signs with."""
    monkeypatch.setenv("SECRET_KEY", "a secret of the tests")
    monkeypatch.setenv("SUPERTOKENS_DATABASE_URI", "sqlite://")
    app = core_app.create_app()
    told(app, "rotate-keys", "--yes")
    assert {key.algorithm for key in app.extensions["supertokens"].engine.store.keys()} == {"RS256"}
    close_database(app)


@pytest.mark.parametrize(
    "command", [["init-db"], ["cleanup"], ["rotate-keys", "--yes"], ["copy", "--to", "sqlite:///x"], ["serve-core"]]
)
def test_what_a_core_does_by_itself_is_refused_with_a_sentence(command: list[str]) -> None:
    """What a core does by itself is refused with a sentence."""
    app = Flask("cli")
    app.config.update(SUPERTOKENS_CONNECTION_URI="http://localhost:1")
    SuperTokens(app)
    result = run(app, *command)
    assert (result.exit_code, "embedded engine" in result.output) == (1, True)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "core.example.com"])
def test_serve_core_without_api_keys_is_refused(app: Flask, host: str) -> None:
    """Not without API keys."""
    result = run(app, "serve-core", "--host", host, "--port", "0")
    assert (result.exit_code, "SUPERTOKENS_CORE_API_KEYS" in result.output) == (1, True)


@pytest.mark.parametrize("command", [["--help"], ["serve-core", "--help"], ["rotate-keys", "--help"]], ids=" ".join)
def test_the_help_of_a_core_to_run_needs_no_setting(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It needs neither a secret nor any other setting that is right."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    monkeypatch.setenv("SUPERTOKENS_ACCESS_TOKEN_LIFETIME", "soon")
    done = commanded("flask_supertokens.core_app", "supertokens", *command)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Usage: python -m flask supertokens" in done.stdout


def commanded(app: str, *words: str, folder: pathlib.Path | None = None) -> subprocess.CompletedProcess[str]:
    """``flask …`` as somebody types it."""
    flask = [sys.executable, "-m", "flask", "--app", app, *words]
    return subprocess.run(flask, cwd=folder, capture_output=True, text=True, timeout=60)


CANT_START = "Error: flask_supertokens can't start with these settings:"


@pytest.mark.parametrize(
    ("given", "command", "lines"),
    [
        (
            {"SUPERTOKENS_ACCESS_TOKEN_LIFETIME": "soon", "SUPERTOKENS_STORE_IP": "maybe"},
            ["serve-core"],
            [
                CANT_START,
                "  * SUPERTOKENS_STORE_IP = 'maybe': use True or False; in the environment also 1 or 0, yes or no, on or off",
                "  * SUPERTOKENS_ACCESS_TOKEN_LIFETIME = 'soon': use seconds or a datetime.timedelta, more than 0",
            ],
        ),
        (
            {"SUPERTOKENS_API_KEY": "k" * 20},
            ["status"],
            [
                CANT_START,
                "  * SUPERTOKENS_API_KEY: only for an app whose sessions are on a core. Set SUPERTOKENS_CONNECTION_URI to its"
                " address, or remove them. Keys that a core of yours accepts are SUPERTOKENS_CORE_API_KEYS.",
            ],
        ),
        (
            {"SUPERTOKENS_CONNECTION_URI": "http://localhost:3567"},
            ["serve-core"],
            [
                "Error: SUPERTOKENS_CONNECTION_URI: a core keeps its sessions in a database. Remove it from the core's"
                " environment."
            ],
        ),
    ],
)
def test_wrong_settings_of_a_core_to_run_end_a_command_with_their_sentences_alone(
    given: dict[str, str], command: list[str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command ends with their sentences alone and code 1."""
    for name, value in {"SECRET_KEY": "a secret", **given}.items():
        monkeypatch.setenv(name, value)
    done = commanded("flask_supertokens.core_app", "supertokens", *command)
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", lines)


@pytest.mark.parametrize("command", [["supertokens", "serve-core"], ["run", "--port", "0"]], ids=" ".join)
def test_wrong_settings_of_an_app_end_a_command_with_their_sentences_alone(
    command: list[str], tmp_path: pathlib.Path
) -> None:
    """Whatever command makes the app, it ends in the same way."""
    (tmp_path / "shop.py").write_text(
        "from flask import Flask\n"
        "from flask_supertokens import SuperTokens\n"
        "app = Flask('shop')\n"
        "app.config.update(SECRET_KEY='a secret', SUPERTOKENS_REFRESH_PATH='refresh')\n"
        "SuperTokens(app)\n"
    )
    done = commanded("shop", *command, folder=tmp_path)
    wrong = "  * SUPERTOKENS_REFRESH_PATH = 'refresh': use an absolute path like \"/auth/refresh\""
    assert (done.returncode, done.stdout, done.stderr.splitlines()) == (1, "", [CANT_START, wrong])


@pytest.mark.parametrize(
    ("option", "value"), [("--port", "99999"), ("--port", "-1"), ("--threads", "0"), ("--threads", "-1")]
)
def test_a_wrong_option_of_serve_core_is_refused_with_what_it_may_be(app: Flask, option: str, value: str) -> None:
    """It is refused with what it may be: such a port was cut to another one, and without threads nothing is served."""
    result = run(app, "serve-core", option, value)
    assert (result.exit_code, f"Invalid value for '{option}': {value} is not in the range" in result.output) == (
        2,
        True,
    )


def test_a_core_to_run_without_a_secret_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not start without one."""
    monkeypatch.delenv("SECRET_KEY", raising=False)
    with pytest.raises(ValueError, match="SECRET_KEY"):
        core_app.create_app()


def test_a_core_to_run_ignores_the_routes_of_an_app_in_its_environment_and_names_addresses_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What names the app's routes is not meant for it; an address of cores can't be, and is named."""
    monkeypatch.setenv("SECRET_KEY", "a secret of the tests")
    monkeypatch.setenv("SUPERTOKENS_DATABASE_URI", "sqlite://")
    monkeypatch.setenv("SUPERTOKENS_REGISTER_ROUTES", "signout,jwks")
    app = core_app.create_app()
    assert list(app.url_map.iter_rules()) == []
    assert "No route takes POST" not in run(app, "status").output
    close_database(app)
    monkeypatch.setenv("SUPERTOKENS_CONNECTION_URI", "http://localhost:3567")
    with pytest.raises(ValueError, match=r"^SUPERTOKENS_CONNECTION_URI: a core keeps its sessions in a database"):
        core_app.create_app()


def test_a_core_started_in_kubernetes_warns_of_names_that_are_no_settings(tmp_path: pathlib.Path) -> None:
    """Names that are no settings are a warning, and its keys are there when it serves."""
    uri = sqlite_uri(tmp_path)
    with CoreProcess(uri, PORT="tcp://10.96.0.7:3567", SERVICE_HOST="10.96.0.7"), sql_store(uri) as store:
        assert sorted(key.kid[:2] for key in store.keys()) == ["d-", "s-"]
