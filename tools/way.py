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
* A **switch** is a call in another file than the call before it, no matter who called it. A return to the caller does not count.
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
    """How far a request goes."""

    calls: int
    files: int
    switches: int
    depth: int


def summarize(steps: list[Step]) -> Figures:
    """Count calls, files, switches and depth."""
    files = [step.file for step in steps]
    switches = sum(before != after for before, after in itertools.pairwise(files))
    return Figures(len(steps), len(set(files)), switches, max(step.depth for step in steps))


# -- counting ----------------------------------------------------------------------------------------------------------


def trace(action: Callable[[], object]) -> list[Step]:
    """Run an action, and return the calls inside the package that it makes in this thread, in order."""
    steps: list[Step] = []

    def note(frame: FrameType, event: str, _argument: object) -> None:
        if event == "call" and _is_package_frame(frame):
            steps.append(_make_step(frame))

    gc.collect()
    gc.disable()  # its calls would come at any time
    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
        gc.enable()
    return steps


def _is_package_frame(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


def _make_step(frame: FrameType) -> Step:
    code, depth, around = frame.f_code, 0, frame.f_back
    while around is not None:
        depth += _is_package_frame(around)
        around = around.f_back
    return Step(code.co_filename.removeprefix(PACKAGE), getattr(code, "co_qualname", code.co_name), depth)


# -- the requests ------------------------------------------------------------------------------------------------------


class Clock(FrozenClock):
    """A clock whose calls do not count."""

    def __call__(self) -> int:
        return self.milliseconds


class Browser:
    """A client that keeps the cookies of one app."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._log_in: Sent = {}
        self._cookies: dict[str, Sent] = {}

    def log_in(self) -> None:
        self._keep(call(self._app, "POST", "/login"))

    def visit(self) -> None:
        call(self._app, "GET", "/protected", self._cookies["/protected"])

    def refresh(self) -> None:
        self._keep(call(self._app, "POST", "/refresh", self._cookies["/refresh"]))

    def _keep(self, headers: list[tuple[str, str]]) -> None:
        """Keep the cookies for each path; each log-in and refresh sets all of them again."""
        self._cookies = {path: cookies(headers, path) for path in ("/protected", "/refresh")}


def make_app(folder: str, **settings: str) -> Flask:
    """Make an app with a log-in and a view that requires a session."""
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


def trace_requests() -> dict[str, list[Step]]:
    """Return the calls of each request by its name."""
    with tempfile.TemporaryDirectory() as folder:
        return {**_trace_on_sqlite(folder), **_trace_on_core(folder)}


def _trace_on_sqlite(folder: str) -> dict[str, list[Step]]:
    app = make_app(folder)
    clock, browser, other = Clock().freeze(app), Browser(app), Browser(app)
    _repeat(browser.log_in)
    create = trace(browser.log_in)
    _repeat(browser.visit)
    verify = trace(browser.visit)

    def pass_hour() -> None:
        browser.visit()
        clock.move(HOUR)
        other.log_in()

    for _ in range(WARM):
        pass_hour()
        browser.refresh()
    pass_hour()
    return {"verify": verify, "create": create, "refresh": trace(browser.refresh)}


def _trace_on_core(folder: str) -> dict[str, list[Step]]:
    """Trace a refresh on a core. Its clock can't be moved; with a race window of 0 no token is young after some milliseconds."""
    with CoreProcess(f"sqlite:///{folder}/core.sqlite3", REFRESH_RACE_WINDOW=0) as core:
        browser = Browser(make_app(folder, SUPERTOKENS_CONNECTION_URI=core.uri))
        browser.log_in()
        for _ in range(WARM):
            _use(browser)
            browser.refresh()
        _use(browser)
        return {"refresh on a core": trace(browser.refresh)}


def _use(browser: Browser) -> None:
    browser.visit()
    time.sleep(0.02)


def _repeat(action: Callable[[], object]) -> None:
    for _ in range(WARM):
        action()


# -- output ------------------------------------------------------------------------------------------------------------


def format_table(figures: dict[str, Figures]) -> Iterator[str]:
    """Format figures as a Markdown table."""
    yield "| request | calls | files | switches of file | depth |"
    yield "| --- | --- | --- | --- | --- |"
    yield from (f"| {name} | {' | '.join(map(str, found))} |" for name, found in figures.items())


def format_listing(steps: list[Step]) -> Iterator[str]:
    """Format calls, a line each with file and function, indented by the depth."""
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
    found = {
        name: [step for step in steps if step.has_name or not options.named] for name, steps in trace_requests().items()
    }
    if options.list is not None:
        if options.list not in found:
            parser.error(f"name one of: {', '.join(found)}")
        print(*format_listing(found[options.list]), sep="\n")
        return
    figures = {name: summarize(steps) for name, steps in found.items()}
    print(
        json.dumps({name: each._asdict() for name, each in figures.items()})
        if options.json
        else "\n".join(format_table(figures))
    )


if __name__ == "__main__":
    main()
