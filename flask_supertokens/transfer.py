"""Sessions and keys from one database to another, as lines of JSON. Tokens go on working where ``SECRET_KEY`` is the same.

* A session that has ended since the export can't be told from one that goes on, so it comes back: the export carries its
  moment, and nothing is imported beside other sessions unless that is asked for.
* A key counts as at any other place: its private half must open, and the public one must be derived from it.
* The whole file is checked before anything is written. What fails then is the database; what was imported stays, and the
  import goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any, NamedTuple, Protocol, get_type_hints

from .errors import GeneralError
from .protocol.model import Line, SessionRecord, SigningKey
from .signing import ALGORITHMS, to_jwk
from .stores.base import Store

FORMAT: dict[str, Any] = {"format": "flask_supertokens sessions", "version": 1}
BATCH = 1000
_ATTEMPTS = 20
_TOO_LARGE, _TOO_MANY = 2**63, 3
_LONGEST = {
    "handle": 128,
    "user_id": 255,
    "recipe_user_id": 255,
    "tenant_id": 64,
    "current_hash2": 64,
    "anti_csrf_token": 64,
    "user_agent": 255,
    "ip": 64,
    "kid": 80,
    "algorithm": 16,
}
"""Letters in the columns of the SQL store."""


class Writable(Protocol):
    """A text file to write to."""

    def write(self, text: str, /) -> object: ...


class Imported(NamedTuple):
    """What became of an export.

    How many sessions were ``new``, were ``there`` already, are there with another refresh token (``differing``), which stayed
    as it was, and had ``expired``, which were left out; the ids of keys that did not open, and of those that a database
    with keys of its own does not have (``ended_keys``), left out as well; and when the export was made, in ms, if it says so.
    """

    new: int
    there: int
    differing: int
    expired: int
    unopened: tuple[str, ...]
    ended_keys: tuple[str, ...]
    exported_at: int | None


def export_sessions(store: Store, file: Writable, now: int) -> int:
    """Write all keys and sessions; how many sessions there were. A last line tells that the file is whole.

    :param now: in ms, for whoever imports it.
    :raises GeneralError: the store can't be read.
    """
    _write(file, {**FORMAT, "exported_at": now})
    keys = store.keys()
    for key in keys:
        _write(file, {"key": asdict(key)})
    number, after = 0, ""
    while batch := store.all(after, BATCH):
        for record in batch:
            _write(file, {"session": asdict(record)})
        number, after = number + len(batch), batch[-1].handle
    _write(file, {"end": {"keys": len(keys), "sessions": number}})
    return number


def import_sessions(
    store: Store,
    lines: Iterable[str],
    public_half: Callable[[SigningKey], str | None],
    now: int,
    *,
    merge: bool = False,
) -> Imported:
    """Add the keys and sessions of an export.

    :param public_half: what belongs to the private half of a key, ``None`` if the ``SECRET_KEY`` of here does not open it.
    :param now: in ms; what has expired is left out.
    :param merge: also beside sessions that are there, which stay as they are; to go on with an import that failed half-way.
    :raises ValueError: this is no whole export, it belongs to another ``SECRET_KEY``, a key in it is not what it says, or
        there are sessions already; no session was imported.
    :raises GeneralError: the store failed; its text says how many sessions were imported.
    """
    export = _parsed(lines)
    unopened = _unopened(export.keys, public_half)
    if not merge and store.all("", 1):
        raise ValueError(
            "There are sessions in this database. Those that were ended here since the export would come back: import into an"
            " empty one. To go on with an import that failed half-way, repeat it with --merge."
        )
    there = {key.kid for key in store.keys()} if merge else set()
    ended = tuple(key.kid for key in export.keys if there and key.kid not in there)
    for key in export.keys:
        if key.kid not in (*unopened, *ended):
            _add_key(store, key)
    theirs = store.server_time()
    living = [record for record in export.records if record.line.expires_at > min(now, theirs or now)]
    new, differing = _add_sessions(store, living)
    expired = len(export.records) - len(living)
    return Imported(new, len(living) - new, differing, expired, unopened, ended, export.exported_at)


def _unopened(keys: list[SigningKey], public_half: Callable[[SigningKey], str | None]) -> tuple[str, ...]:
    """The ids of the keys that do not open.

    :raises ValueError: none does, or one is not what it says.
    """
    halves = {key.kid: public_half(key) for key in keys}
    if keys and not any(halves.values()):
        raise ValueError(
            "The keys were sealed under another SECRET_KEY, so every user would be logged out. Set the one that they were made"
            " with, as SECRET_KEY or among SECRET_KEY_FALLBACKS."
        )
    for key in keys:
        half = halves[key.kid]
        if half is not None and half.split() != key.public_pem.split():
            raise ValueError(
                f"The public half of the key {key.kid} does not belong to its private half: somebody changed this export."
                " Make a new one."
            )
    return tuple(kid for kid, half in halves.items() if half is None)


def _add_sessions(store: Store, records: list[SessionRecord]) -> tuple[int, int]:
    """How many were new, and how many are there with another refresh token."""
    new = differing = 0
    for record in records:
        try:
            known = store.read(record.handle)
            if known is None:
                store.add(record)
        except GeneralError as error:
            raise GeneralError(
                f"{error.description} {new} of {len(records)} sessions were imported before that. To go on, repeat it with"
                " --merge."
            ) from error
        new += known is None
        differing += known is not None and known.line != record.line
    return new, differing


# -- lines -------------------------------------------------------------------------------------------------------------


def _write(file: Writable, content: dict[str, Any]) -> None:
    file.write(json.dumps(content, separators=(",", ":")) + "\n")


class _Export(NamedTuple):
    keys: list[SigningKey]
    records: list[SessionRecord]
    exported_at: int | None


def _parsed(lines: Iterable[str]) -> _Export:
    export = _Export([], [], None)
    names: set[tuple[str, str]] = set()
    end: Any = None
    position = 0
    for position, line in enumerate(lines, 1):
        content = _read(line, position)
        if position == 1:
            export = export._replace(exported_at=_moment(content))
        elif "end" in content:
            end = content["end"]
        elif "key" in content:
            export.keys.append(_key(content["key"], position))
            _note(names, ("key", export.keys[-1].kid), position)
        else:
            export.records.append(_record(content.get("session"), position))
            _note(names, ("session", export.records[-1].handle), position)
    if end != {"keys": len(export.keys), "sessions": len(export.records)}:
        raise ValueError(f"The export is not whole: after line {position} its end is missing, or lines before it are.")
    return export


def _moment(head: dict[str, Any]) -> int | None:
    """When an export was made; those of before do not say it."""
    exported_at = head.get("exported_at")
    if {**head, "exported_at": None} != {**FORMAT, "exported_at": None} or not isinstance(exported_at, int | None):
        raise ValueError("Line 1 does not say that this is an export of flask_supertokens.")
    return exported_at


def _note(names: set[tuple[str, str]], name: tuple[str, str], position: int) -> None:
    if name in names:
        raise ValueError(f"Line {position} has a {name[0]} that was there in a line before it.")
    names.add(name)


def _read(line: str, position: int) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ValueError(f"Line {position} is not JSON.") from error
    if not isinstance(content, dict):
        raise ValueError(f"Line {position} is neither a key nor a session.")
    return content


def _key(content: Any, position: int) -> SigningKey:
    key: SigningKey = _made(SigningKey, content, position)
    try:
        if key.algorithm not in ALGORITHMS:
            raise ValueError(key.algorithm)
        to_jwk(key)
    except ValueError as error:
        raise ValueError(f"Line {position} has a key that can't be used.") from error
    return key


def _record(content: Any, position: int) -> SessionRecord:
    if isinstance(content, dict) and "line" in content:
        content = {**content, "line": _made(Line, content["line"], position)}
    record: SessionRecord = _made(SessionRecord, content, position)
    try:
        objects = [json.loads(text) for text in (record.payload, record.data)]
    except ValueError as error:
        raise ValueError(f"Line {position} has a payload or data that are not JSON.") from error
    if not all(isinstance(value, dict) for value in objects):
        raise ValueError(f"Line {position} has a payload or data that are no objects.")
    return record


def _made(kind: type[Any], content: Any, position: int) -> Any:
    names = {field.name for field in fields(kind)}
    if not isinstance(content, dict) or content.keys() != names:
        raise ValueError(f"Line {position} has not the fields of an export of this version.")
    for name, hint in get_type_hints(kind).items():
        value = content[name]
        if not isinstance(value, hint) or isinstance(value, bool):
            raise ValueError(f"Line {position}: {name} is of the wrong type.")
        if not (_is_storable(value, _LONGEST.get(name)) if isinstance(value, str) else _is_number(value, name)):
            raise ValueError(f"Line {position}: {name} is nothing that a database could keep.")
    return kind(**content)


def _is_storable(text: str, longest: int | None) -> bool:
    """Whether a text has a place in every database's table; it would fail half-way."""
    fits = longest is None or len(text) <= longest
    return fits and "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _is_number(value: Any, name: str) -> bool:
    return not isinstance(value, int) or 0 <= value < (_TOO_MANY if name == "children" else _TOO_LARGE)


# -- the store ---------------------------------------------------------------------------------------------------------


def _add_key(store: Store, key: SigningKey) -> None:
    for _ in range(_ATTEMPTS):
        seen = frozenset(known.kid for known in store.keys())
        if key.kid in seen or store.swap_keys(seen, key, frozenset()):
            return
    raise ValueError("The keys of this database change all the time: stop the app, then import.")
