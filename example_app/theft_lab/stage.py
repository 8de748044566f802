"""What the lab itself keeps while a scenario is played: the clock, the wire, the names of tokens, what was decided."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock
from typing import cast

from flask import Flask, current_app, request

from flask_supertokens.testing import FrozenClock

from .facts import Decision
from .stream import Stream
from .wire import Wire

EXTENSION = "theft_lab"
SITE = "theft-lab.localhost"
BROWSERS = ("owner", "thief")
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass
class Stage:
    """One visitor's lab. ``turn`` is held by the request that is being judged, so that each is seen alone."""

    stream: Stream = field(default_factory=Stream)
    clock: FrozenClock = field(default_factory=FrozenClock)
    turn: Lock = field(default_factory=Lock)
    wire: Wire = field(default_factory=Wire)
    names: dict[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    loot: dict[str, str] = field(default_factory=dict, repr=False)
    handle: str | None = None

    def clear(self) -> None:
        """Begin anew. The clock never goes back: keys and cookies would come from the future."""
        self.clock.milliseconds = max(self.clock.milliseconds, time.time_ns() // 1_000_000)
        self.wire, self.names, self.decisions, self.loot, self.handle = Wire(), {}, [], {}, None
        self.stream.tell("clear")

    def name(self, fingerprint: str) -> str:
        """A short name for a token, the same wherever it is seen: A, B, C …"""
        number = len(self.names)
        lap = number // len(_LETTERS)
        return self.names.setdefault(fingerprint, _LETTERS[number % len(_LETTERS)] + (str(lap + 1) if lap else ""))


def build(app: Flask) -> None:
    """Give the app a stage, and its sessions the stage's clock."""
    app.extensions[EXTENSION] = made = Stage()
    made.clock.freeze(app)


def stage() -> Stage:
    """The current app's stage."""
    return cast(Stage, current_app.extensions[EXTENSION])


def who() -> str | None:
    """Whose browser sent this request, as its host says; ``None`` for the page around them."""
    label = request.host.partition(".")[0]
    return label if label in BROWSERS else None


def origin(browser: str | None = None) -> str:
    """The origin of the page, or of a browser's."""
    port = request.host.rpartition(":")[2]
    host = SITE if browser is None else f"{browser}.{SITE}"
    return f"{request.scheme}://{host}:{port}" if port.isdigit() else f"{request.scheme}://{host}"
