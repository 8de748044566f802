"""Sessions and keys from one database to another, as lines of JSON. Tokens go on working where ``SECRET_KEY`` is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any, NamedTuple, Protocol, get_type_hints

from .protocol.model import Line, SessionRecord, SigningKey
from .signing import ALGORITHMS, to_jwk
from .stores.base import Store

FORMAT: dict[str, Any] = {"format": "flask_supertokens sessions", "version": 1}
BATCH = 1000
_ATTEMPTS = 20


class Writable(Protocol):
    """A text file to write to."""

    def write(self, text: str, /) -> object: ...


class Imported(NamedTuple):
    """How many sessions were new, were there already, and are there with another refresh token, which stayed as it was."""

    new: int
    there: int
    differing: int


def export_sessions(store: Store, file: Writable) -> int:
    """Write all keys and sessions; how many sessions there were. A last line tells that the file is whole.

    :raises GeneralError: the store can't be read.
    """
    _write(file, FORMAT)
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


def import_sessions(store: Store, lines: Iterable[str], opens: Callable[[str], bool]) -> Imported:
    """Add the keys and sessions of an export. All of it is read before anything is written.

    :param opens: whether the ``SECRET_KEY`` of here opens a sealed key.
    :raises ValueError: this is no whole export, or it belongs to another ``SECRET_KEY``; nothing was imported.
    :raises GeneralError: the store can't be written.
    """
    keys, records = _parsed(lines)
    if keys and not any(opens(key.sealed_private) for key in keys):
        raise ValueError(
            "The keys were sealed under another SECRET_KEY, so every user would be logged out. Set the one that they were made"
            " with, as SECRET_KEY or among SECRET_KEY_FALLBACKS."
        )
    for key in keys:
        _add_key(store, key)
    there = [store.read(record.handle) for record in records]
    for record, known in zip(records, there, strict=True):
        if known is None:
            store.add(record)
    differing = sum(
        known is not None and known.line != record.line for record, known in zip(records, there, strict=True)
    )
    return Imported(there.count(None), len(there) - there.count(None), differing)


# -- lines -------------------------------------------------------------------------------------------------------------


def _write(file: Writable, content: dict[str, Any]) -> None:
    file.write(json.dumps(content, separators=(",", ":")) + "\n")


def _parsed(lines: Iterable[str]) -> tuple[list[SigningKey], list[SessionRecord]]:
    keys: list[SigningKey] = []
    records: list[SessionRecord] = []
    end: Any = None
    position = 0
    for position, line in enumerate(lines, 1):
        content = _read(line, position)
        if position == 1 and content != FORMAT:
            raise ValueError("Line 1 does not say that this is an export of flask_supertokens.")
        if "key" in content:
            keys.append(_key(content["key"], position))
        elif "end" in content:
            end = content["end"]
        elif position > 1:
            records.append(_record(content.get("session"), position))
    if end != {"keys": len(keys), "sessions": len(records)}:
        raise ValueError(f"The export is not whole: after line {position} its end is missing, or lines before it are.")
    return keys, records


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
        if not isinstance(content[name], hint) or isinstance(content[name], bool):
            raise ValueError(f"Line {position}: {name} is of the wrong type.")
    return kind(**content)


# -- the store ---------------------------------------------------------------------------------------------------------


def _add_key(store: Store, key: SigningKey) -> None:
    for _ in range(_ATTEMPTS):
        seen = frozenset(known.kid for known in store.keys())
        if key.kid in seen or store.swap_keys(seen, key, frozenset()):
            return
    raise ValueError("The keys of this database change all the time: stop the app, then import.")
