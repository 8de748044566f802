"""Sessions and keys from one database to another, as lines of JSON. Tokens go on working where ``SECRET_KEY`` is the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any, Protocol

from .protocol.model import Line, SessionRecord, SigningKey
from .stores.base import Store

FORMAT = {"format": "flask_supertokens sessions", "version": 1}
BATCH = 1000


class Writable(Protocol):
    """A text file to write to."""

    def write(self, text: str, /) -> object: ...


def export_sessions(store: Store, file: Writable) -> int:
    """Write all keys and sessions; how many sessions there were.

    :raises GeneralError: the store can't be read.
    """
    _write(file, FORMAT)
    for key in store.keys():
        _write(file, {"key": asdict(key)})
    number, after = 0, ""
    while batch := store.all(after, BATCH):
        for record in batch:
            _write(file, {"session": asdict(record)})
        number, after = number + len(batch), batch[-1].handle
    return number


def import_sessions(store: Store, lines: Iterable[str]) -> int:
    """Add the keys and sessions of an export; those that are there already stay. How many sessions were new.

    :raises ValueError: a line is none of an export; what stood before it was imported.
    :raises GeneralError: the store can't be written.
    """
    number = 0
    for position, line in enumerate(lines, 1):
        content = _read(line, position)
        if position == 1:
            if content != FORMAT:
                raise ValueError("Line 1 does not say that this is an export of flask_supertokens.")
        elif "key" in content:
            _add_key(store, _made(SigningKey, content["key"], position))
        else:
            number += _add_session(store, content.get("session"), position)
    return number


def _write(file: Writable, content: dict[str, Any]) -> None:
    file.write(json.dumps(content, separators=(",", ":")) + "\n")


def _read(line: str, position: int) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise ValueError(f"Line {position} is not JSON.") from error
    if not isinstance(content, dict):
        raise ValueError(f"Line {position} is neither a key nor a session.")
    return content


def _made(kind: type[Any], content: Any, position: int) -> Any:
    names = {field.name for field in fields(kind)}
    if not isinstance(content, dict) or content.keys() != names:
        raise ValueError(f"Line {position} has not the fields of an export of this version.")
    return kind(**content)


def _add_key(store: Store, key: SigningKey) -> None:
    seen = frozenset(known.kid for known in store.keys())
    if key.kid not in seen:
        store.swap_keys(seen, key, frozenset())


def _add_session(store: Store, content: Any, position: int) -> bool:
    record: SessionRecord = _made(SessionRecord, content, position)
    record = SessionRecord(**{**vars(record), "line": _made(Line, record.line, position)})
    if store.read(record.handle) is not None:
        return False
    store.add(record)
    return True
