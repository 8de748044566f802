"""How far a request goes through the package: ``python -m tools.way [--named] [--json | --list REQUEST]``.

Each request is the one that an app serves all day: everything that is made once, or now and then, has been made before.

* **verify**: GET a view with ``@verify_session`` that asks for the user, with a token in a cookie that was seen before.
* **create**: POST a log-in, by a browser that has no session, and not for the first time.
* **refresh**: POST ``/refresh`` on SQLite, an hour after the last refresh. Its tokens were used since, so the token that comes
  becomes the line of its session, and a child of it is made. Somebody else was there a moment ago, so the keys are at hand.
* **refresh on a core**: the same on a core of ours, which is a process of its own. What the core does is not counted.

What is counted lies between the call of ``app.wsgi_app`` and the end of the response's body. The clock of the app on SQLite is
this script's and stands still, so that each run counts the same.

* A **call** is an event ``call`` of `sys.setprofile` whose code is in a file of the package: functions, methods, properties,
  ``__enter__`` and ``__exit__``, lambdas, comprehensions where Python makes frames of them (up to 3.11), and generators each
  time that they go on. What a dataclass or a named tuple is given has no file, and does not count.
* **Files** are those that calls are in.
* A **switch** is a call in another file than the call before it, whoever called whom. What a return leads back to does not count.
* The **depth** is the number of calls of the package that the deepest call was made in, itself left out; frames of libraries
  between them do not count.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import pathlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NamedTuple

from flask import Flask

import flask_supertokens
from benchmarks.wsgi import Sent, call, cookies
from flask_supertokens import SuperTokens, create_new_session, current_session, verify_session
from flask_supertokens.testing import FrozenClock
from tests.support.core_process import CoreProcess

PACKAGE = str(pathlib.Path(flask_supertokens.__file__).parent) + "/"
SECRET = "a secret of this script, as long as HS256 wants it"  # noqa: S105 - guards nothing
HOUR = 3600
WARM = 3
"""How often a request is made before it is counted."""


class Step(NamedTuple):
    """One call inside the package."""

    file: str
    function: str
    depth: int

    @property
    def has_name(self) -> bool:
        return not self.function.endswith(">")


class Figures(NamedTuple):
    """How long a way is."""

    calls: int
    files: int
    switches: int
    depth: int


def figures_of(steps: list[Step]) -> Figures:
    files = [step.file for step in steps]
    switches = sum(before != after for before, after in itertools.pairwise(files))
    return Figures(len(steps), len(set(files)), switches, max(step.depth for step in steps))


# -- counting ----------------------------------------------------------------------------------------------------------


def steps_of(act: Callable[[], object]) -> list[Step]:
    """The calls inside the package that an action makes in this thread, in order."""
    steps: list[Step] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and _is_ours(frame):
            steps.append(_step(frame))

    gc.collect()
    gc.disable()  # what it calls would come at any time
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return steps


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


def _step(frame: FrameType) -> Step:
    code, depth, around = frame.f_code, 0, frame.f_back
    while around is not None:
        depth += _is_ours(around)
        around = around.f_back
    return Step(code.co_filename.removeprefix(PACKAGE), getattr(code, "co_qualname", code.co_name), depth)


# -- the requests ------------------------------------------------------------------------------------------------------


class Clock(FrozenClock):
    """Its calls are not the package's."""

    def __call__(self) -> int:
        return self.milliseconds


class Browser:
    """What keeps the cookies of one app."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._log_in: Sent = {}
        self._cookies: dict[str, Sent] = {}

    def log_in(self) -> None:
        self._keep(call(self._app, "POST", "/login"))

    def look(self) -> None:
        call(self._app, "GET", "/protected", self._cookies["/protected"])

    def refresh(self) -> None:
        self._keep(call(self._app, "POST", "/refresh", self._cookies["/refresh"]))

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        """The cookies that go to each path; all of them are set again by each log-in and refresh."""
        self._cookies = {path: cookies(headers, path) for path in ("/protected", "/refresh")}


def an_app(folder: str, **settings: str) -> Flask:
    """An app with a log-in and a view that asks for a session."""
    app = Flask("way", instance_path=folder)
    app.config.update(SECRET_KEY=SECRET, DEBUG=False, **settings)
    SuperTokens(app)

    @app.post("/login")
    def login() -> dict[str, str]:
        return {"user": create_new_session("user-1", {"role": "admin"}).user_id}

    @app.get("/protected")
    @verify_session
    def protected() -> dict[str, str]:
        return {"user": current_session.user_id}

    return app


def ways() -> dict[str, list[Step]]:
    """The calls of each request by its name."""
    with tempfile.TemporaryDirectory() as folder:
        return {**_on_sqlite(folder), **_on_a_core(folder)}


def _on_sqlite(folder: str) -> dict[str, list[Step]]:
    app = an_app(folder)
    clock, browser, other = Clock().freeze(app), Browser(app), Browser(app)
    _repeat(browser.log_in)
    create = steps_of(browser.log_in)
    _repeat(browser.look)
    verify = steps_of(browser.look)

    def an_hour() -> None:
        browser.look()
        clock.move(HOUR)
        other.log_in()

    for _ in range(WARM):
        an_hour()
        browser.refresh()
    an_hour()
    return {"verify": verify, "create": create, "refresh": steps_of(browser.refresh)}


def _on_a_core(folder: str) -> dict[str, list[Step]]:
    """The core's window is 0, since its clock can't be moved: a token that is a few milliseconds old is not young there."""
    with CoreProcess(f"sqlite:///{folder}/core.sqlite3", REFRESH_RACE_WINDOW=0) as core:
        browser = Browser(an_app(folder, SUPERTOKENS_CONNECTION_URI=core.uri))
        browser.log_in()
        for _ in range(WARM):
            _use(browser)
            browser.refresh()
        _use(browser)
        return {"refresh on a core": steps_of(browser.refresh)}


def _use(browser: Browser) -> None:
    browser.look()
    time.sleep(0.02)


def _repeat(act: Callable[[], object]) -> None:
    for _ in range(WARM):
        act()


# -- what is printed ---------------------------------------------------------------------------------------------------


def table(figures: dict[str, Figures]) -> Iterator[str]:
    """As Markdown."""
    yield "| request | calls | files | switches of file | depth |"
    yield "| --- | --- | --- | --- | --- |"
    yield from (f"| {name} | {' | '.join(map(str, found))} |" for name, found in figures.items())


def listing(steps: list[Step]) -> Iterator[str]:
    """A line a call, indented by its depth; the file where it is another one."""
    for step in steps:
        yield f"{'  ' * step.depth}{step.file}:{step.function}"


def main() -> None:
    parser = argparse.ArgumentParser(description="How far a request goes through the package.")
    parser.add_argument(
        "--named", action="store_true", help="leave out lambdas, comprehensions and generator expressions"
    )
    shape = parser.add_mutually_exclusive_group()
    shape.add_argument("--json", action="store_true", help="the figures as JSON")
    shape.add_argument(
        "--list", metavar="REQUEST", help="the calls of one request as they come, with file and function"
    )
    options = parser.parse_args()
    found = {name: [step for step in steps if step.has_name or not options.named] for name, steps in ways().items()}
    if options.list is not None:
        if options.list not in found:
            parser.error(f"name one of: {', '.join(found)}")
        print(*listing(found[options.list]), sep="\n")
        return
    figures = {name: figures_of(steps) for name, steps in found.items()}
    print(
        json.dumps({name: each._asdict() for name, each in figures.items()})
        if options.json
        else "\n".join(table(figures))
    )


if __name__ == "__main__":
    main()
