"""What a real core was asked and answered, played again on a core of ours.

Tokens, handles and the like differ from run to run: what a recorded answer holds is learned beside what ours holds, and put into
later requests. Where ours has no new token (its rule gives it later) the one that was sent stands in.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import pathlib
from collections.abc import Iterator
from typing import Any

from flask_supertokens.core.apps import Core
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.protocol.rotation import Window
from flask_supertokens.stores.memory import MemoryStore

from .engines import SETTINGS
from .plans import Clock
from .records import kids_of
from .served import CORE_KEYS

FOLDER = pathlib.Path(__file__).parents[1] / "recordings"
STEP = 7
"""Milliseconds from one request to the next."""
DAY = 86_400_000
_EXPIRY = "core-11.1.3-expiry-cdi-5.3"
UNRECORDED_WAITS = {
    (_EXPIRY, "access token expires", 1): 2100,
    (_EXPIRY, "access token expired but session revoked", 2): 2100,
    (_EXPIRY, "refresh token expires", 1): 7000,
}
"""Milliseconds that passed before these requests, as the times in the recorded tokens tell."""
_EQUAL = {
    "status",
    "userId",
    "recipeUserId",
    "tenantId",
    "userDataInJWT",
    "userDataInDatabase",
    "message",
    "createdNew",
}
_EPHEMERAL = {"iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"}


@dataclasses.dataclass(frozen=True)
class Exchange:
    """One recorded request with both answers, and what is not alike in them."""

    file: str
    scenario: str
    number: int
    request: dict[str, Any]
    recorded: Any
    ours: Any
    unlike: tuple[str, ...]

    @property
    def name(self) -> str:
        asked = f"{self.request['method']} {self.request['path']}" if self.request else "token"
        return f"{self.file}, {self.scenario}, {self.number}: {asked}"


class Replay:
    """The scenarios of one recording, one after the other, on one core: later ones use tokens of those before."""

    def __init__(self, path: pathlib.Path, keys: list[SigningKey]) -> None:
        self._path = path
        self._keys = keys
        self._recording = json.loads(path.read_text("utf-8"))
        self._learned: dict[str, str] = {}
        self._clock = Clock()
        self._last: Any = None
        self._begin()

    def play(self) -> Iterator[Exchange]:
        for scenario in self._recording["scenarios"]:
            for number, step in enumerate(scenario["exchanges"]):
                if "waited_s" in step:
                    self._clock.wait(round(step["waited_s"] * 1000))
                elif "decoded" in step:
                    yield self._decode(scenario["name"], number, step)
                else:
                    yield self._exchange(scenario["name"], number, step)

    # -- the core

    def _begin(self) -> None:
        expiry = "expiry" in self._path.name
        keys = dataclasses.replace(CORE_KEYS, access_token_lifetime=1000 if expiry else 3600_000)
        window = Window(0, 6000 if expiry else 100 * DAY)
        store = MemoryStore()
        for key in self._keys:
            store.swap_keys(frozenset(kids_of(store.keys())), key, frozenset())
        core = Core(
            store,
            dataclasses.replace(SETTINGS, keys=keys, window=window),
            ("golden-api-key-0123456789abcdef",) if expiry else (),
            self._clock,
        )
        self._client = make_core_app(core).test_client()

    # -- one step

    def _exchange(self, scenario: str, number: int, step: dict[str, Any]) -> Exchange:
        asked, recorded = step["request"], step["response"]
        self._clock.wait(UNRECORDED_WAITS.get((self._path.stem, scenario, number), STEP))
        body = self._ours(asked["json"]) if "json" in asked else None
        response = self._client.open(
            asked["path"],
            method=asked["method"],
            headers=asked["headers"],
            json=body,
            data=asked.get("raw_body"),
            query_string=self._ours(asked.get("query", {})),
        )
        answer = response.get_json(silent=True) if response.is_json else response.text
        theirs = recorded.get("json", recorded.get("text"))
        unlike = list(_unlike(theirs, answer))
        if response.status_code != recorded["status"]:
            unlike.insert(0, f"status {recorded['status']} here {response.status_code}")
        if recorded["content_type"] != response.content_type:
            unlike.append(f"content type {recorded['content_type']} here {response.content_type}")
        self._learn(theirs, answer)
        self._stand_in(theirs, answer, body)
        self._last = answer
        return Exchange(self._path.stem, scenario, number, asked, theirs, answer, tuple(unlike))

    def _decode(self, scenario: str, number: int, step: dict[str, Any]) -> Exchange:
        """The access token of the answer before: its header and claims."""
        raw = self._last.get("accessToken", {}).get("token") if isinstance(self._last, dict) else None
        if raw is None and isinstance(self._last, dict):
            raw = self._last.get("jwt")
        theirs = {"header": step["header"], "payload": step["payload"]}
        if raw is None:
            return Exchange(self._path.stem, scenario, number, {}, theirs, None, ("no token",))
        header, payload = (json.loads(base64.urlsafe_b64decode(part + "===")) for part in raw.split(".")[:2])
        mine = {"header": header, "payload": payload}
        unlike = []
        for part in ("header", "payload"):
            if theirs[part].keys() != mine[part].keys():
                unlike.append(f"{part}: {sorted(theirs[part].keys() ^ mine[part].keys())}")
        for name in theirs["payload"].keys() & mine["payload"].keys():
            one, other = theirs["payload"][name], mine["payload"][name]
            if (name in _EPHEMERAL and type(one) is not type(other)) or (name not in _EPHEMERAL and one != other):
                unlike.append(f"claim {name}")
        if theirs["payload"]["exp"] - theirs["payload"]["iat"] != payload["exp"] - payload["iat"]:
            unlike.append("lifetime")
        if theirs["header"]["kid"][:2] != header["kid"][:2] or theirs["header"].get("version") != header.get("version"):
            unlike.append("kind of key or version")
        return Exchange(self._path.stem, scenario, number, {}, theirs, mine, tuple(unlike))

    # -- what stands for what

    def _learn(self, theirs: Any, answer: Any) -> None:
        if isinstance(theirs, dict) and isinstance(answer, dict):
            for name in theirs.keys() & answer.keys():
                self._learn(theirs[name], answer[name])
        elif isinstance(theirs, list) and isinstance(answer, list):
            for one, other in zip(theirs, answer, strict=False):
                self._learn(one, other)
        elif isinstance(theirs, str) and isinstance(answer, str) and theirs != answer:
            self._learned[theirs] = answer

    def _stand_in(self, theirs: Any, answer: Any, body: Any) -> None:
        if not (isinstance(theirs, dict) and isinstance(answer, dict) and isinstance(body, dict)):
            return
        for name in ("accessToken", "refreshToken"):
            given, sent = theirs.get(name), body.get(name)
            if isinstance(given, dict) and name not in answer and sent is not None:
                self._learned[given["token"]] = sent

    def _ours(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._ours(one) for name, one in value.items()}
        if isinstance(value, list):
            return [self._ours(one) for one in value]
        if not isinstance(value, str):
            return value
        return self._learned.get(value) or self._mangle(value)

    def _mangle(self, value: str) -> str:
        """A recorded token with a changed end becomes ours with a changed end."""
        for theirs, mine in self._learned.items():
            if len(value) > 100 and value[:100] == theirs[:100] and "." in value:
                return mine[:-4] + ("AAAA" if mine[-4:] != "AAAA" else "BBBB")
        return value


def _unlike(theirs: Any, mine: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ in shape, and in values that must be the same."""
    if isinstance(theirs, dict) and isinstance(mine, dict):
        yield from _unlike_objects(theirs, mine, path)
    elif isinstance(theirs, list) and isinstance(mine, list):
        yield from _unlike_lists(theirs, mine, path)
    elif type(theirs) is not type(mine):
        yield f"{path}{type(theirs).__name__} here {type(mine).__name__}"
    elif not path and theirs != mine:
        yield f"text {theirs.strip()[:80]!r} here {mine.strip()[:80]!r}"


def _unlike_objects(theirs: dict[str, Any], mine: dict[str, Any], path: str) -> Iterator[str]:
    for name in sorted(theirs.keys() ^ mine.keys()):
        yield f"{path}{name} {'missing' if name in theirs else 'added'}"
    for name in sorted(theirs.keys() & mine.keys()):
        if name not in _EQUAL:
            yield from _unlike(theirs[name], mine[name], f"{path}{name}.")
        elif theirs[name] != mine[name]:
            yield f"{path}{name}: {str(theirs[name])[:60]!r} here {str(mine[name])[:60]!r}"
    times = {"expiry", "createdTime"} <= theirs.keys() & mine.keys()
    if times and theirs["expiry"] - theirs["createdTime"] != mine["expiry"] - mine["createdTime"]:
        yield f"{path}lifetime"


def _unlike_lists(theirs: list[Any], mine: list[Any], path: str) -> Iterator[str]:
    if path == "versions.":
        if set(theirs) != set(mine):
            yield f"{path}fewer" if set(mine) <= {*theirs, "5.4"} else f"{path}unknown"
    elif len(theirs) != len(mine):
        yield f"{path}{len(theirs)} items here {len(mine)}"
    elif path == "keys." and theirs[0].keys() != mine[0].keys():
        yield f"{path}{sorted(theirs[0].keys() ^ mine[0].keys())}"


def recordings() -> list[pathlib.Path]:
    return sorted(FOLDER.glob("*.json"))
