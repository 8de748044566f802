"""``flask supertokens …``: the commands. A command that succeeds exits with code 0.

With ``--json`` standard output is one JSON value, ``{"error": …}`` if the command fails; questions and progress go to
standard error.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import IO, Any, TypeVar

import click
from flask import current_app
from flask.cli import AppGroup

from . import transfer
from .assembly import open_other_store
from .doctor import examine
from .engines.embedded.rows import PAGE
from .errors import SuperTokensError
from .protocol.cdi import VERSIONS
from .protocol.hosts import is_local
from .protocol.model import FIRST_APP, PUBLIC_TENANT, SessionInformation
from .public_url import PublicURL
from .sessions import list_sessions, revoke_all_sessions_for_user, revoke_multiple_sessions
from .settings import values
from .signing import RELOAD_EVERY, KeyRing
from .state import app_state
from .stores.base import Store

T = TypeVar("T")
BATCH = 50
"""Sessions a transaction of a clean-up: it hardly delays refreshes, and a larger one would not be much faster."""
group: AppGroup = AppGroup("supertokens")
_json_option = click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@group.command("init-db")
@_json_option
def init_db(wants_json: bool) -> None:
    """Create the tables that are missing, and bring older ones up to date."""
    _run(_require_embedded(app_state().engine.upkeep.store).create_tables)
    _print_result(wants_json, {"status": "OK"}, "The session tables are there.")


@group.command("status")
@click.option("--url", help="Where browsers see the app's root: ask the app that runs there, through its proxies.")
@_json_option
def status(url: str | None, wants_json: bool) -> None:
    """Check engine, keys, settings and app, and say what looks wrong and how to fix it. Code 1 if something does.

    With --url also check from outside: whether the refresh route is there, whether browsers send its cookie there, and
    what a proxy does not tell the app. This changes nothing.
    """
    report = _run(lambda: examine(app_state(), None if url is None else PublicURL(app_state(), url)))
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
        number = len(report.findings)
        click.echo(f"{number} problem{'s' if number > 1 else ''} found." if number else "Nothing looks wrong.")
    if report.findings:
        raise SystemExit(1)


@group.command("sessions")
@click.argument("user_id", metavar="USER")
@click.option("--limit", type=click.IntRange(1), help="List so many at most.")
@click.option(
    "--after", help="List those behind this one: its handle, or the position at the end of the previous page."
)
@_json_option
def sessions(user_id: str, limit: int | None, after: str | None, wants_json: bool) -> None:
    """List a user's sessions, oldest first. They are printed as they are read, a page at a time."""
    number, last = 0, None
    for known in _read_sessions(user_id, after, limit):
        number, last = number + 1, known
        if wants_json:
            click.echo(("[\n" if number == 1 else ",\n") + json.dumps(asdict(known), indent=2), nl=False)
        else:
            times = f"created {known.created:%Y-%m-%d %H:%M} UTC  ends {known.expires:%Y-%m-%d %H:%M} UTC"
            click.echo(f"{known.handle}  {times}  {known.user_agent or ''}")
    if wants_json:
        click.echo("\n]" if number else "[]")
        return
    click.echo(f"{number} sessions.")
    if last is not None and number == limit:
        click.echo(f"There may be more: --after {last.position}")


def _read_sessions(user_id: str, after: str | None, limit: int | None) -> Iterator[SessionInformation]:
    """Read a user's sessions page by page; from a core, which has no pages, all at once."""
    size = PAGE if app_state().engine.upkeep.store is not None else sys.maxsize
    left = sys.maxsize if limit is None else limit
    while left > 0:
        asked = min(size, left)
        page = _run(partial(list_sessions, user_id, limit=asked, after=after))
        yield from page
        if len(page) < asked:
            return
        left, after = left - len(page), page[-1].position


@group.command("revoke")
@click.argument("handles", nargs=-1, metavar="[HANDLE]...")
@click.option("--user", "user_id", help="Revoke all sessions of this user.")
@_yes_option
@_json_option
def revoke(handles: tuple[str, ...], user_id: str | None, yes: bool, wants_json: bool) -> None:
    """Revoke sessions, by handle or of a user. Code 1 if there was none."""
    if bool(handles) == bool(user_id):
        raise click.UsageError("Name session handles, or a user with --user.")
    _confirm(yes, f"Revoke all sessions of {user_id}?" if user_id else f"Revoke {len(handles)} sessions?")
    removed = _run(
        lambda: revoke_all_sessions_for_user(user_id) if user_id is not None else revoke_multiple_sessions(handles)
    )
    _print_result(wants_json, {"revoked": removed}, f"{len(removed)} sessions revoked.")
    if not removed:
        raise SystemExit(1)


@group.command("cleanup")
@click.option("--batch", default=BATCH, show_default=True, type=click.IntRange(1), help="Sessions a transaction.")
@_json_option
def cleanup(batch: int, wants_json: bool) -> None:
    """Remove expired sessions, in batches."""
    engine, removed = app_state().engine, 0
    store = _require_embedded(engine.upkeep.store)
    with _make_progress_bar(wants_json, "Removing", _run(lambda: store.count_expired(engine.now()))) as bar:
        while number := _run(lambda: store.remove_expired(engine.now(), batch)):
            removed += number
            bar.update(number)
    _print_result(wants_json, {"removed": removed}, f"{removed} expired sessions removed.")


@group.command("rotate-keys")
@click.option("--reseal", is_flag=True, help="Make no key, but seal the keys of SECRET_KEY_FALLBACKS under SECRET_KEY.")
@click.option("--revoke-old", is_flag=True, help="End all old keys at once.")
@click.option("--app", "app_id", default=FIRST_APP, help="Whose keys to rotate, for a core with several apps.")
@_yes_option
@_json_option
def rotate_keys(reseal: bool, revoke_old: bool, app_id: str, yes: bool, wants_json: bool) -> None:
    """Make a new signing key. It signs after a minute; tokens of the old ones stay valid until they expire.

    With --revoke-old it signs at once, and what the old ones signed is refused: access tokens are refreshed at their next use,
    JWTs for other services end.

    With --reseal no key is made. Do this when every process has the new SECRET_KEY and before you remove the old one from
    SECRET_KEY_FALLBACKS; a key that is not sealed again ends with it.

    Where an app and a core share the database, each signs with keys of its own algorithm: both get a new one.
    """
    if reseal and revoke_old:
        raise click.UsageError("Seal the old keys again, or end them: not both.")
    now = app_state().engine.now
    store, rings = _run(lambda: _find_key_rings(app_id))
    if reseal:
        _confirm(yes, "Do all processes, on every host, have the new SECRET_KEY?")
        resealed = _run(lambda: rings[0].reseal(now()))
        _print_result(
            wants_json, {"resealed": resealed}, f"Sealed under SECRET_KEY: {', '.join(resealed) or 'all were before'}."
        )
        return
    _confirm(yes, "End all signing keys and make a new one?" if revoke_old else "Make a new signing key?")
    old = sorted(_run(lambda: [key.kid for key in store.keys()])) if revoke_old else []
    kids = [key.kid for key in _run(lambda: [ring.rotate(now(), frozenset(old)) for ring in rings])]
    sentence = f"Signing a minute from now on: {', '.join(kids)}."
    if revoke_old:
        sentence = (
            f"Ended: {', '.join(old) or 'none'}. Signing from now on: {', '.join(kids)}. Nobody has to log in again: access"
            " tokens are refreshed at their next use. JWTs of create_jwt end. Running processes notice within"
            f" {RELOAD_EVERY // 1000} s, or when they can read the database again."
        )
    _print_result(wants_json, {"kid": kids[0], "kids": kids, "ended": old}, sentence)


def _parse_database(_context: click.Context, _option: click.Parameter, uri: str) -> str:
    """Parse a database URL; the error for a wrong one does not repeat it."""
    try:
        return values.database(uri)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@group.command("copy")
@click.option(
    "--to",
    "uri",
    metavar="URL",
    required=True,
    callback=_parse_database,
    help="The other database, written as in SUPERTOKENS_DATABASE_URI.",
)
@click.option("--end-others", is_flag=True, help="No app uses it: sessions only there were ended here; end them there.")
@click.option(
    "--keep-others", is_flag=True, help="An app uses it: sessions that are newer or only there stay as they are."
)
@_json_option
def copy_sessions(uri: str, end_others: bool, keep_others: bool, wants_json: bool) -> None:
    """Copy all sessions and keys to another database, for an app with the same SECRET_KEY.

    Run it as often as you like: it copies what is new or changed, and continues where it was stopped. Stop the app for the last
    run, since a session that is refreshed later would look stolen there.
    """
    if end_others and keep_others:
        raise click.UsageError("End what only the other database has, or keep it: not both.")
    others: transfer.Others = "end" if end_others else "keep" if keep_others else "refuse"
    engine = app_state().engine
    store, keys = _require_embedded(engine.upkeep.store), _require_embedded(engine.upkeep.keys)
    with contextlib.ExitStack() as stack:
        target = _run(lambda: stack.enter_context(open_other_store(uri, current_app.instance_path)))
        _run(target.create_tables)
        copy = _run(lambda: transfer.Copy(store, target, keys.public_half, engine.now(), others))
        with _make_progress_bar(wants_json, "Copying", copy.sessions) as bar:
            done = _run(lambda: copy.run(bar.update))
    _print_result(wants_json, done._asdict(), " ".join(_describe_copy(done, others)))


def _describe_copy(done: transfer.CopyResult, others: transfer.Others) -> Iterator[str]:
    """Say in sentences what a copy did."""
    yield f"{done.copied} sessions copied, {done.updated} updated, {done.skipped} were the same."
    if done.expired:
        yield f"{done.expired} had expired and were left out."
    if done.kept:
        yield f"{done.kept} are newer there, or have another payload or data, and stayed as they are."
    if done.ended:
        yield f"{done.ended} were ended there, since they have ended here."
    if done.unopened:
        yield (
            f"The current SECRET_KEY cannot decrypt the signing keys {', '.join(done.unopened)}, which were left out: who holds"
            " an access token of theirs refreshes once."
        )
    if done.ended_keys:
        yield (
            f"The signing keys {', '.join(done.ended_keys)} are not in the other database, which has keys: they may have been"
            " ended there, so they were left out. Who holds an access token of theirs refreshes once; JWTs that they signed are"
            " over."
        )
    if done.copied and others == "keep":
        yield "Sessions that were ended there after an earlier copy are back: if there were any, end them again."
    yield "What changes here from now on is not there: run this once more when the app is stopped."


@group.command("serve-core")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3567, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--threads", default=16, show_default=True, type=click.IntRange(1), help="Calls served at the same time.")
def serve_core(host: str, port: int, threads: int) -> None:
    """Serve a SuperTokens core for other services, on this app's database.

    Needs the extra "serve". A public address needs SUPERTOKENS_CORE_API_KEYS. SIGTERM ends it after the responses to the calls
    that it has.
    """
    try:
        from waitress.server import create_server  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise click.ClickException(
            'The server is missing; install it: pip install "flask-supertokens[serve]"'
        ) from error
    from .core.apps import make_core  # noqa: PLC0415 - for this command only
    from .core.requests import MAX_BODY  # noqa: PLC0415 - as above
    from .core.serving import make_core_app  # noqa: PLC0415 - as above

    try:
        core = make_core(app_state(), needs_api_keys=not is_local(host))
        app, too_large = make_core_app(core), MAX_BODY + 1
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


def _run(action: Callable[[], T]) -> T:
    """Run an action; an error ends the command with one sentence."""
    try:
        return action()
    except (SuperTokensError, ValueError, OSError) as error:
        text = error.description if isinstance(error, SuperTokensError) else str(error)
        raise _make_failure(text or "The command failed.") from error


def _make_failure(text: str) -> Exception:
    """Make what ends the command with this sentence, as JSON where that is asked for."""
    if click.get_current_context().params.get("wants_json"):
        click.echo(json.dumps({"error": text}))
        return click.exceptions.Exit(1)
    return click.ClickException(text)


def _confirm(yes: bool, question: str) -> None:
    """Abort unless the user agrees: with ``--yes``, at the terminal, or by piped input."""
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
        raise _make_failure("Nothing was done: the command asks first, and there is no terminal. Add --yes.")
    if not agreed:
        raise click.Abort()


def _find_key_rings(app_id: str) -> tuple[Store, list[KeyRing]]:
    """Return the store of an app's keys, and the key rings that sign with them: of the app and of a core on the same database, or
    of another app of the core.

    :raises ValueError: the core has no such app.
    """
    from .core.apps import make_core  # noqa: PLC0415 - as above

    upkeep = app_state().engine.upkeep
    store, ring = _require_embedded(upkeep.store), _require_embedded(upkeep.keys)
    others = {key.algorithm for key in store.keys()} - {ring.algorithm}
    if app_id == FIRST_APP and not others:
        return store, [ring]
    apps = make_core(app_state(), needs_api_keys=False)
    if not apps.has(app_id, PUBLIC_TENANT):
        raise ValueError(f"There is no app {app_id} in this database.")
    core = apps.engine_of(app_id).upkeep
    if app_id != FIRST_APP:
        return core.store, [core.keys]
    return store, [ring, core.keys] if core.keys.algorithm in others else [ring]


def _require_embedded(part: T | None) -> T:
    """Return a part of the embedded engine; end the command where a core has it."""
    if part is None:
        raise _make_failure("This command is for the embedded engine; a SuperTokens core does it by itself.")
    return part


def _print_result(wants_json: bool, content: dict[str, Any], sentence: str) -> None:
    click.echo(json.dumps(content) if wants_json else sentence)


def _make_progress_bar(wants_json: bool, label: str, length: int) -> Any:
    return click.progressbar(
        length=length, label=label, file=io.StringIO() if wants_json else sys.stderr, show_pos=True
    )
