"""``flask supertokens …``: commands. Each ends with code 0 when it did what it says.

With ``--json`` standard output is one JSON value, ``{"error": …}`` if it failed; questions and progress go to standard error.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from functools import partial
from typing import IO, Any, TypeVar

import click
from flask.cli import AppGroup

from . import transfer
from .context import app_state
from .doctor import examine
from .engines.embedded import PAGE, EmbeddedEngine
from .errors import SuperTokensError
from .protocol.cdi import VERSIONS
from .protocol.hosts import is_local
from .protocol.model import FIRST_APP, PUBLIC_TENANT, SessionInformation
from .public_url import PublicURL
from .sessions import list_sessions, revoke_all_sessions_for_user, revoke_multiple_sessions
from .signing import RELOAD_EVERY

T = TypeVar("T")
BATCH = 50
"""Few enough that refreshes hardly notice; more would not be much faster."""

group: AppGroup = AppGroup("supertokens")
_as_json = click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@group.command("init-db")
@_as_json
def init_db(wants_json: bool) -> None:
    """Create the tables that are missing, and bring older ones up to date."""
    _do(_embedded().create_tables)
    _tell(wants_json, {"status": "OK"}, "The session tables are there.")


@group.command("status")
@click.option("--url", help="Where browsers see the app's root: ask the app that runs there, through its proxies.")
@_as_json
def status(url: str | None, wants_json: bool) -> None:
    """Look at engine, keys, settings and app, and say what looks wrong, with what mends it. Code 1 if something does.

    With --url also look from outside: whether the refresh route is there, whether browsers send its cookie there, and
    what a proxy does not tell the app. Nothing is changed by it.
    """
    report = _do(lambda: examine(app_state(), None if url is None else PublicURL(app_state(), url)))
    if wants_json:
        click.echo(json.dumps(asdict(report), indent=2))
    else:
        width = max(len(name) for name in report.facts)
        for name, value in report.facts.items():
            click.echo(f"{name:{width}}  {value}")
        for hint in report.hints:
            click.echo(f"? {hint}")
        for finding in report.findings:
            click.echo(f"! {finding}")
        click.echo("Nothing looks wrong." if not report.findings else f"{len(report.findings)} to look at.")
    if report.findings:
        raise SystemExit(1)


@group.command("sessions")
@click.argument("user_id", metavar="USER")
@click.option("--limit", type=click.IntRange(1), help="So many at most.")
@click.option("--after", help="Those behind this one: its handle, or the position that the page before ended with.")
@_as_json
def sessions(user_id: str, limit: int | None, after: str | None, wants_json: bool) -> None:
    """List a user's sessions, oldest first. They are written as they are read, a page at a time."""
    number, last = 0, None
    for known in _sessions_of(user_id, after, limit):
        number, last = number + 1, known
        if wants_json:
            click.echo(("[\n" if number == 1 else ",\n") + json.dumps(_described(known), indent=2), nl=False)
        else:
            times = f"created {_moment(known.created_at)}  ends {_moment(known.expires_at)}"
            click.echo(f"{known.handle}  {times}  {known.user_agent or ''}")
    if wants_json:
        click.echo("\n]" if number else "[]")
        return
    click.echo(f"{number} sessions.")
    if last is not None and number == limit:
        click.echo(f"There may be more: --after {last.position}")


def _sessions_of(user_id: str, after: str | None, limit: int | None) -> Iterator[SessionInformation]:
    """Page by page; from a core, which has no pages, all at once."""
    size = PAGE if isinstance(app_state().engine, EmbeddedEngine) else sys.maxsize
    left = sys.maxsize if limit is None else limit
    while left > 0:
        asked = min(size, left)
        page = _do(partial(list_sessions, user_id, limit=asked, after=after))
        yield from page
        if len(page) < asked:
            return
        left, after = left - len(page), page[-1].position


@group.command("revoke")
@click.argument("handles", nargs=-1, metavar="[HANDLE]...")
@click.option("--user", "user_id", help="End all sessions of this user.")
@_yes
@_as_json
def revoke(handles: tuple[str, ...], user_id: str | None, yes: bool, wants_json: bool) -> None:
    """End sessions, by handle or of a user. Code 1 if there was none."""
    if bool(handles) == bool(user_id):
        raise click.UsageError("Name session handles, or a user with --user.")
    _ask(yes, f"End all sessions of {user_id}?" if user_id else f"End {len(handles)} sessions?")
    removed = _do(
        lambda: revoke_all_sessions_for_user(user_id) if user_id is not None else revoke_multiple_sessions(handles)
    )
    _tell(wants_json, {"revoked": removed}, f"{len(removed)} sessions ended.")
    if not removed:
        raise SystemExit(1)


@group.command("cleanup")
@click.option("--batch", default=BATCH, show_default=True, type=click.IntRange(1), help="Sessions a transaction.")
@_as_json
def cleanup(batch: int, wants_json: bool) -> None:
    """Remove expired sessions, in batches."""
    engine, removed = _embedded(), 0
    with _progress(wants_json, "Removing", _do(engine.count_expired)) as bar:
        while number := _do(lambda: engine.remove_expired(batch)):
            removed += number
            bar.update(number)
    _tell(wants_json, {"removed": removed}, f"{removed} expired sessions removed.")


@group.command("rotate-keys")
@click.option("--reseal", is_flag=True, help="Make none, but seal those of SECRET_KEY_FALLBACKS under SECRET_KEY.")
@click.option("--revoke-old", is_flag=True, help="End all old keys at once.")
@click.option("--app", "app_id", default=FIRST_APP, help="Whose keys, for a core with several apps.")
@_yes
@_as_json
def rotate_keys(reseal: bool, revoke_old: bool, app_id: str, yes: bool, wants_json: bool) -> None:
    """Make a new signing key. It signs after a minute; tokens of the old ones stay good until they expire.

    With --revoke-old it signs at once, and what the old ones signed is over: access tokens are refreshed at their next use,
    JWTs for other services end.

    With --reseal no key is made. Do this when every process has the new SECRET_KEY and before the old one leaves
    SECRET_KEY_FALLBACKS; a key that is not sealed again ends with it.

    Where an app and a core share the database, each signs with keys of its own algorithm: both get a new one.
    """
    if reseal and revoke_old:
        raise click.UsageError("Seal the old keys again, or end them: not both.")
    signers = _do(lambda: _signers(_embedded(), app_id))
    if reseal:
        _ask(yes, "Do all processes, on every host, have the new SECRET_KEY?")
        resealed = _do(signers[0].reseal_keys)
        _tell(
            wants_json, {"resealed": resealed}, f"Sealed under SECRET_KEY: {', '.join(resealed) or 'all were before'}."
        )
        return
    _ask(yes, "End all signing keys and make a new one?" if revoke_old else "Make a new signing key?")
    old = sorted(_do(lambda: [key.kid for key in signers[0].store.keys()])) if revoke_old else []
    kids = [key.kid for key in _do(lambda: [each.rotate_keys(frozenset(old)) for each in signers])]
    sentence = f"Signing a minute from now on: {', '.join(kids)}."
    if revoke_old:
        sentence = (
            f"Ended: {', '.join(old) or 'none'}. Signing from now on: {', '.join(kids)}. Nobody has to log in for that: access"
            " tokens are refreshed at their next use. JWTs of create_jwt are over. Running processes notice within"
            f" {RELOAD_EVERY // 1000} s, or when they can read the database again."
        )
    _tell(wants_json, {"kid": kids[0], "kids": kids, "ended": old}, sentence)


@group.command("export")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@_yes
@_as_json
def export_sessions(file: str, yes: bool, wants_json: bool) -> None:
    """Write all sessions and keys to a file, to move to another database; - is standard output. Stop the app first.

    The file holds payloads, data, sealed keys and anti-CSRF tokens: treat it as a secret.
    """
    engine = _embedded()
    if file == "-":
        number = _do(lambda: transfer.export_sessions(engine.store, sys.stdout, engine.now()))
        click.echo(f"{number} sessions exported.", err=True)
        return
    if os.path.exists(file):
        _ask(yes, f"Replace {file}?")
    with _replacing(file) as target:
        number = _do(lambda: transfer.export_sessions(engine.store, target, engine.now()))
    _tell(wants_json, {"exported": number}, f"{number} sessions exported.")


@group.command("import")
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--merge", is_flag=True, help="Also beside sessions that are there; to go on after a failure.")
@_as_json
def import_sessions(file: IO[str], merge: bool, wants_json: bool) -> None:
    """Read sessions and keys of an export into this database, whose SECRET_KEY must be the same. What is there stays.

    Sessions that were ended after the export come back: the file does not know of it.
    """
    engine = _embedded()
    done = _do(lambda: transfer.import_sessions(engine.store, file, engine.public_half, engine.now(), merge=merge))
    content = {"imported": done.new, **done._asdict()}
    del content["new"]
    _tell(wants_json, content, " ".join(_said(done)))


def _said(done: transfer.Imported) -> Iterator[str]:
    yield f"{done.new} sessions imported, {done.there} were there, {done.expired} had expired and were left out."
    if done.differing:
        yield (
            f"{done.differing} of those that were there have other refresh tokens than in the file and stayed as they are, so"
            " one of the two is older. Import into an empty database, with the app stopped."
        )
    if done.unopened:
        yield (
            f"The SECRET_KEY of here does not open the keys {', '.join(done.unopened)}, which were left out: who holds an access"
            " token of theirs refreshes once."
        )
    if done.ended_keys:
        yield (
            f"The keys {', '.join(done.ended_keys)} are not in this database, which has keys: they may have been ended here, so"
            " they were left out. Who holds an access token of theirs refreshes once; JWTs that they signed are over."
        )
    since = "the export" if done.exported_at is None else f"the export of {_moment(done.exported_at)}"
    yield f"Sessions that were ended after {since} are back: if there were any, end them again."


@group.command("serve-core")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3567, show_default=True, help="0 takes a free one.")
@click.option("--threads", default=16, show_default=True, help="Calls served at the same time.")
def serve_core(host: str, port: int, threads: int) -> None:
    """Be a SuperTokens core for other services, on this app's database.

    Needs the extra "serve". A public address needs SUPERTOKENS_CORE_API_KEYS. SIGTERM ends it when the calls in hand are
    answered.
    """
    try:
        from waitress.server import create_server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise click.ClickException(
            'The server is missing; install it: pip install "flask-supertokens[serve]"'
        ) from error
    from .cdi_server import MAX_BODY, core_app, make_core  # noqa: PLC0415 - for this command only

    try:
        core = make_core(app_state(), needs_api_keys=not is_local(host))
        app, too_large = core_app(core), MAX_BODY + 1
        server = create_server(app, host=host, port=port, threads=threads, ident="", max_request_body_size=too_large)
    except (ValueError, OSError) as error:
        raise click.ClickException(str(error)) from error
    core.make_keys()
    for bound, bound_port in getattr(server, "effective_listen", [(host, getattr(server, "effective_port", port))]):
        click.echo(f"SuperTokens core (CDI {', '.join(VERSIONS)}) on http://{bound}:{bound_port}")
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)  # a call that waits for a moment is no news
    signal.signal(signal.SIGTERM, _stop)
    server.run()


def _stop(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


# -- shared ------------------------------------------------------------------------------------------------------------


def _do(action: Callable[[], T]) -> T:
    """Run it; what fails is one sentence."""
    try:
        return action()
    except (SuperTokensError, ValueError, OSError) as error:
        text = error.description if isinstance(error, SuperTokensError) else str(error)
        raise _failure(text or "It failed.") from error


def _failure(text: str) -> Exception:
    if click.get_current_context().params.get("wants_json"):
        click.echo(json.dumps({"error": text}))
        return click.exceptions.Exit(1)
    return click.ClickException(text)


def _ask(yes: bool, question: str) -> None:
    """Go on only if the user agrees: with ``--yes``, at the terminal, or by an answer that is piped in."""
    if yes:
        return
    stdin: IO[str] | None = sys.stdin  # None where the process was started without one
    try:
        agreed = stdin is not None and click.confirm(question, err=True)
    except click.Abort:
        if stdin is not None and stdin.isatty():
            raise
        stdin = None
    if stdin is None:
        raise _failure("Nothing was done: this asks first, and there is no terminal to answer at. Add --yes.")
    if not agreed:
        raise click.Abort()


@contextlib.contextmanager
def _replacing(file: str) -> Iterator[IO[str]]:
    """A file that only its owner reads; it takes the name when all is written, and is gone if that fails."""
    handle, name = tempfile.mkstemp(dir=os.path.dirname(file) or ".")
    try:
        with open(handle, "w", encoding="utf-8") as target:
            yield target
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def _signers(engine: EmbeddedEngine, app_id: str) -> list[EmbeddedEngine]:
    """The app's own engine, and that of a core whose keys are in the same database; or that of another app of the core."""
    from .cdi_server import make_core  # noqa: PLC0415 - as above

    apps = make_core(app_state(), needs_api_keys=False)
    if not apps.has(app_id, PUBLIC_TENANT):
        raise ValueError(f"There is no app {app_id} in this database.")
    core = apps.engine_of(app_id)
    if app_id != FIRST_APP:
        return [core]
    others = {key.algorithm for key in engine.store.keys()} - {engine.algorithm}
    return [engine, core] if core.algorithm in others else [engine]


def _embedded() -> EmbeddedEngine:
    engine = app_state().engine
    if not isinstance(engine, EmbeddedEngine):
        raise _failure("This is for the embedded engine; a SuperTokens core does it by itself.")
    return engine


def _tell(wants_json: bool, content: dict[str, Any], sentence: str) -> None:
    click.echo(json.dumps(content) if wants_json else sentence)


def _progress(wants_json: bool, label: str, length: int) -> Any:
    return click.progressbar(
        length=length, label=label, file=io.StringIO() if wants_json else sys.stderr, show_pos=True
    )


def _described(known: SessionInformation) -> dict[str, Any]:
    return asdict(known)


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
