"""``flask supertokens …``: commands. Each ends with code 0 when it did what it says.

With ``--json`` standard output is one JSON value, ``{"error": …}`` if it failed; questions and progress go to standard error.
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
from .assembly import other_store
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
"""Few enough that refreshes hardly notice; more would not be much faster."""
group: AppGroup = AppGroup("supertokens")
_as_json = click.option("--json", "wants_json", is_flag=True, help="Print JSON.")
_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@group.command("init-db")
@_as_json
def init_db(wants_json: bool) -> None:
    """Create the tables that are missing, and bring older ones up to date."""
    _do(_own(app_state().engine.upkeep.store).create_tables)
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
            times = f"created {known.created:%Y-%m-%d %H:%M} UTC  ends {known.expires:%Y-%m-%d %H:%M} UTC"
            click.echo(f"{known.handle}  {times}  {known.user_agent or ''}")
    if wants_json:
        click.echo("\n]" if number else "[]")
        return
    click.echo(f"{number} sessions.")
    if last is not None and number == limit:
        click.echo(f"There may be more: --after {last.position}")


def _sessions_of(user_id: str, after: str | None, limit: int | None) -> Iterator[SessionInformation]:
    """Page by page; from a core, which has no pages, all at once."""
    size = PAGE if app_state().engine.upkeep.store is not None else sys.maxsize
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
    engine, removed = app_state().engine, 0
    store = _own(engine.upkeep.store)
    with _progress(wants_json, "Removing", _do(lambda: store.count_expired(engine.now()))) as bar:
        while number := _do(lambda: store.remove_expired(engine.now(), batch)):
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
    now = app_state().engine.now
    store, rings = _do(lambda: _rings(app_id))
    if reseal:
        _ask(yes, "Do all processes, on every host, have the new SECRET_KEY?")
        resealed = _do(lambda: rings[0].reseal(now()))
        _tell(
            wants_json, {"resealed": resealed}, f"Sealed under SECRET_KEY: {', '.join(resealed) or 'all were before'}."
        )
        return
    _ask(yes, "End all signing keys and make a new one?" if revoke_old else "Make a new signing key?")
    old = sorted(_do(lambda: [key.kid for key in store.keys()])) if revoke_old else []
    kids = [key.kid for key in _do(lambda: [ring.rotate(now(), frozenset(old)) for ring in rings])]
    sentence = f"Signing a minute from now on: {', '.join(kids)}."
    if revoke_old:
        sentence = (
            f"Ended: {', '.join(old) or 'none'}. Signing from now on: {', '.join(kids)}. Nobody has to log in for that: access"
            " tokens are refreshed at their next use. JWTs of create_jwt are over. Running processes notice within"
            f" {RELOAD_EVERY // 1000} s, or when they can read the database again."
        )
    _tell(wants_json, {"kid": kids[0], "kids": kids, "ended": old}, sentence)


def _database(_context: click.Context, _option: click.Parameter, uri: str) -> str:
    """Read a database URL; what is wrong with it is told without repeating it."""
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
    callback=_database,
    help="The other database, as SUPERTOKENS_DATABASE_URI would name it.",
)
@click.option("--end-others", is_flag=True, help="No app uses it: what is only there was ended here, and ends there.")
@click.option("--keep-others", is_flag=True, help="An app uses it: what is newer or only there stays as it is.")
@_as_json
def copy_sessions(uri: str, end_others: bool, keep_others: bool, wants_json: bool) -> None:
    """Copy all sessions and keys to another database, for an app with the same SECRET_KEY.

    Run it as often as you like: it copies what is new or changed, and goes on where it was stopped. The last run is one
    with the app stopped, since a session that is refreshed later would look stolen there.
    """
    if end_others and keep_others:
        raise click.UsageError("End what the other database alone has, or keep it: not both.")
    others: transfer.Others = "end" if end_others else "keep" if keep_others else "refuse"
    engine = app_state().engine
    store, keys = _own(engine.upkeep.store), _own(engine.upkeep.keys)
    with contextlib.ExitStack() as stack:
        target = _do(lambda: stack.enter_context(other_store(uri, current_app.instance_path)))
        _do(target.create_tables)
        copy = _do(lambda: transfer.Copy(store, target, keys.public_half, engine.now(), others))
        with _progress(wants_json, "Copying", copy.sessions) as bar:
            done = _do(lambda: copy.run(bar.update))
    _tell(wants_json, done._asdict(), " ".join(_said(done, others)))


def _said(done: transfer.CopyResult, others: transfer.Others) -> Iterator[str]:
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


def _rings(app_id: str) -> tuple[Store, list[KeyRing]]:
    """Where the keys of an app are, and who signs with them: the app itself, and a core on the same database; or another app of
    the core.

    :raises ValueError: the core has no such app.
    """
    from .core.apps import make_core  # noqa: PLC0415 - as above

    upkeep = app_state().engine.upkeep
    store, ring = _own(upkeep.store), _own(upkeep.keys)
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


def _own(part: T | None) -> T:
    """What a command is about, if it is in this app's care."""
    if part is None:
        raise _failure("This is for the embedded engine; a SuperTokens core does it by itself.")
    return part


def _tell(wants_json: bool, content: dict[str, Any], sentence: str) -> None:
    click.echo(json.dumps(content) if wants_json else sentence)


def _progress(wants_json: bool, label: str, length: int) -> Any:
    return click.progressbar(
        length=length, label=label, file=io.StringIO() if wants_json else sys.stderr, show_pos=True
    )


def _described(known: SessionInformation) -> dict[str, Any]:
    return asdict(known)
