"""Everything that reads what a client sends, fed with a million texts of a grammar: tokens, cookies, headers, paths and JSON.

Nothing may raise anything but what it documents, and nothing that we did not make may be accepted.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from flask import Flask

from flask_supertokens import verify_session
from flask_supertokens.core.apps import Core
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.errors import TryRefreshTokenError, UnauthorisedError
from flask_supertokens.protocol.cdi import CoreResponseError, read_information, read_session, read_versions
from flask_supertokens.protocol.navigation import own_path
from flask_supertokens.protocol.presented import CookieNames, read
from flask_supertokens.protocol.tokens import parse_access_token
from flask_supertokens.stores.memory import MemoryStore

from ..support.engines import SETTINGS, a_session, an_engine, refresh_token_of
from ..support.flask_server import an_app, embedded_settings
from ..support.plans import HOUR, Clock

T = TypeVar("T")
NAMES = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")
BROWSERS_SEE_ANOTHER_HOST = ("//", "/\\", "\\", "http:", "https:", "javascript:")
_ODD = [
    "",
    "\0",
    "\r\n",
    " ",
    '"',
    "'",
    ";",
    "=",
    "%",
    "%00",
    "%zz",
    "\ud800",
    "é",
    "用",
    "😀",
    "\\",
    "//",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
]
_NUMBERS = [
    "0",
    "-1",
    "1e999",
    "-1e999",
    "NaN",
    "Infinity",
    "9" * 400,
    "1" + "0" * 30,
    "0.1",
    "1E400",
    "null",
    "true",
    '"1"',
    "[]",
]

MESSAGE = "multiple session cookies"
"""The one 500 that is meant: only the operator can mend it."""
Parser = Callable[[str], bool]
"""Takes a text; tells whether it was accepted as something of ours."""


class Grammar:
    """Texts that look like what clients send."""

    def __init__(self, seed: int, samples: list[str]) -> None:
        self._random = random.Random(seed)
        self._samples = samples

    def text(self) -> str:
        """One more, and never one of the samples."""
        made = self._random.choice((self._mangle, self._token, self._json, self._cookies, self._path, self._noise))()
        return made if made not in self._samples else made + "x"

    def _mangle(self) -> str:
        """A genuine token with something wrong in it."""
        text = self._random.choice(self._samples)
        for _ in range(self._random.randrange(1, 4)):
            place, end = sorted(self._random.randrange(len(text) + 1) for _ in range(2))
            change = self._random.randrange(5)
            if change == 0:
                text = text[:place] + self._random.choice(_ODD) + text[place:]
            elif change == 1:
                text = text[:place] + text[min(end, place + 5) :]
            elif change == 2:
                text = text[:place] + text[place:end][::-1] + text[end:]
            elif change == 3:
                text = text[:place].swapcase() + text[place:]
            else:
                other = self._random.choice(self._samples).split(".")
                text = ".".join(
                    self._random.choice((mine, theirs)) for mine, theirs in zip(text.split("."), other, strict=False)
                )
            text = text or "."
        return text

    def _token(self) -> str:
        """A JWT with claims and headers as an attacker writes them."""
        header: dict[str, Any] = {
            "alg": self._pick(["ES256", "none", "HS256", "RS256", "NONE", "", None, 1]),
            "typ": "JWT",
        }
        header |= {
            "kid": self._pick(["d-1700000000000", "s-1", "../../etc/passwd", "d-' OR 1=1", "", None, ["d-1"], 1])
        }
        header |= {"version": self._pick(["5", "4", "3", "2", "", "99999", "٥", 5, None])}
        for name in ("jwk", "jku", "x5u", "crit", "b64"):
            if self._random.random() < 0.2:
                header[name] = self._pick([{}, "http://localhost/", [], ["exp"], False])
        claims = {name: self._value(2) for name in ("sub", "tId", "rsub", "sessionHandle", "refreshTokenHash1")}
        claims |= {
            "iat": 1_700_000_000,
            "exp": self._pick([2_000_000_000, "x", None, True, -1, 2**53]),
        }
        parts = [
            _encode(json.dumps(header)),
            _encode(self._twice(json.dumps(claims))),
            self._pick(["", "AA", "c2ln", "!!"]),
        ]
        return ".".join(parts[: self._pick([1, 2, 3, 3, 3, 3])])

    def _twice(self, text: str) -> str:
        """Duplicate keys, odd numbers and depth, as text."""
        if self._random.random() < 0.2:
            text = text[:-1] + ',"exp":' + self._pick(_NUMBERS) + "}"
        if self._random.random() < 0.02:
            text = text[:-1] + ',"deep":' + "[" * 5000 + "]" * 5000 + "}"
        return text

    def _json(self) -> str:
        return self._twice(json.dumps({self._pick(_KEYS): self._value(3) for _ in range(self._random.randrange(6))}))

    def _cookies(self) -> str:
        names = [
            "sAccessToken",
            "sRefreshToken",
            "sIdRefreshToken",
            "__Host-sAccessToken",
            " sAccessToken ",
            "SACCESSTOKEN",
            "",
        ]
        pairs = [f"{self._pick(names)}{self._pick(['=', '', '==', ' = '])}{self._noise()[:60]}" for _ in range(4)]
        return self._pick(["; ", ";", ",", ";;"]).join(pairs)

    def _path(self) -> str:
        starts = [
            "/",
            "//",
            "/\\",
            "\\",
            "https://",
            "http:",
            "javascript:",
            "/%2f",
            "/\t/",
            "\n/",
            "//u@",
            "/..//",
            "",
            "/x?next=//",
        ]
        return self._pick(starts) + self._noise()[:30]

    def _noise(self) -> str:
        return "".join(
            self._pick([*_ODD, "a", "Bearer ", "eyJ", "evil.example"]) for _ in range(self._random.randrange(12))
        )

    def _value(self, depth: int) -> Any:
        plain = ["x", "", None, 0, -1, 2**70, 1.5, True, "\ud800", "\0", "a" * 300]
        if depth == 0:
            return self._pick(plain)
        return self._pick([*plain, [self._value(depth - 1)], {self._pick(_KEYS): self._value(depth - 1)}])

    def _pick(self, choices: list[T]) -> T:
        return self._random.choice(choices)


_KEYS = [
    "userId",
    "userDataInJWT",
    "userDataInDatabase",
    "enableAntiCsrf",
    "useDynamicSigningKey",
    "accessToken",
    "refreshToken",
]
_KEYS += [
    "sessionHandle",
    "sessionHandles",
    "checkDatabase",
    "doAntiCsrfCheck",
    "session",
    "status",
    "versions",
    "",
    "handle",
    "exp",
]


def _encode(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "surrogatepass")).rstrip(b"=").decode()


# -- what is fed -------------------------------------------------------------------------------------------------------


def parsers(samples: list[str], engine: Any) -> dict[str, tuple[Parser, float]]:
    """What reads clients' texts, and which share of the inputs each gets."""
    return {
        "access token": (lambda text: _verify(engine, text), 0.25),
        "refresh token": (lambda text: _refresh(engine, text), 0.15),
        "structure test": (lambda text: parse_access_token(text, frozenset({"none"})) is not None, 0.1),
        "cookies": (_read_cookies, 0.2),
        "next": (_sent_elsewhere, 0.2),
        "core's answers": (_read_response, 0.07),
        "replayed forms": (_form(), 0.01),
        "app": (_app(), 0.01),
        "core": (_core(), 0.01),
    }


def _verify(engine: Any, text: str) -> bool:
    token = engine.read_access_token(text)
    if token is None:
        return False
    try:
        engine.verify(token, check_database=True)
    except (TryRefreshTokenError, UnauthorisedError):
        return False
    return True


def _refresh(engine: Any, text: str) -> bool:
    try:
        engine.refresh(RefreshRequest(text))
    except UnauthorisedError:
        return False
    return True


def _read_cookies(text: str) -> bool:
    presented = read("POST", {"HTTP_COOKIE": text, "HTTP_AUTHORIZATION": text, "HTTP_ANTI_CSRF": text}, NAMES)
    assert all((*presented.access_cookies, *presented.refresh_cookies))
    presented.duplicates  # noqa: B018 - it is counted
    return False


def _sent_elsewhere(text: str) -> bool:
    path = own_path(text)
    return path is not None and (path.startswith(BROWSERS_SEE_ANOTHER_HOST) or not path.startswith("/"))


def _read_response(text: str) -> bool:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return False
    for reader in (read_session, read_information, read_versions):
        try:
            reader(answer)
        except CoreResponseError:
            continue
    return False


def _app() -> Parser:
    app = an_app(None, **embedded_settings(None))

    def ask(text: str) -> bool:
        headers = {
            name: text.encode("utf-8", "surrogatepass").decode("latin-1") for name in ("Cookie", "Authorization")
        }
        client = app.test_client(use_cookies=False)
        answers = [
            client.get("/me", headers=_sendable(headers)),
            client.post("/refresh", headers=_sendable(headers), query_string={"next": _plain(text)}),
        ]
        statuses = [answer.status_code for answer in answers]
        if any(status >= 500 for status in statuses) and MESSAGE not in answers[1].text:
            raise AssertionError(f"statuses {statuses}")
        return statuses[0] == 200

    return ask


def _form() -> Parser:
    """Forms that come with an expired access token, and are sent through the refresh route and back."""
    app, clock = an_app(None, **embedded_settings(None)), Clock()
    app.extensions["supertokens"].engine.clock = clock
    app.add_url_rule("/form", view_func=verify_session(lambda: "in"), methods=["POST"])
    cookies = [
        line.split(";")[0] for line in app.test_client(use_cookies=False).post("/login").headers.getlist("Set-Cookie")
    ]
    clock.wait(2 * HOUR)
    kinds = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=", "text/plain")

    def ask(text: str) -> bool:
        made = random.Random(ascii(text))
        headers = {
            "Cookie": "; ".join(cookies),
            "Content-Type": made.choice(kinds) + made.choice(("", "x", _plain(text)[:40])),
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Site": made.choice(("same-origin", "none", "cross-site")),
            "Accept": "text/html",
        }
        sent = {"data": text.encode("utf-8", "surrogatepass"), "query_string": {"next": _plain(text)}}
        path = made.choice(("/form", "/refresh", "/signout"))
        lies = {"CONTENT_LENGTH": made.choice(("", "-1", "x", "0", "99"))} if made.random() < 0.2 else {}
        client = app.test_client(use_cookies=False)
        answer = client.post(path, headers=_latin(_sendable(headers)), environ_overrides=lies, **sent)
        if answer.status_code >= 500 or not answer.headers.get("Location", "/").startswith("/"):
            raise AssertionError(f"{path}: {answer.status} {answer.headers.get('Location')!r}")
        return answer.text == "in" or answer.headers.get("Location", "/").startswith(BROWSERS_SEE_ANOTHER_HOST)

    return ask


def _core() -> Parser:
    app: Flask = make_core_app(Core(MemoryStore(), SETTINGS))

    def ask(text: str) -> bool:
        client = app.test_client()
        body = text.encode("utf-8", "surrogatepass")
        paths = (
            "/recipe/session/verify",
            "/recipe/session/refresh",
            "/recipe/session/remove",
            "/recipe/session/regenerate",
        )
        answers = [client.post(path, data=body, headers={"cdi-version": "5.4"}) for path in paths]
        answers.append(client.get("/recipe/session", query_string={"sessionHandle": _plain(text)}))
        known = "io.supertokens.session.jwt.JWT$JWTException: Invalid JWT\n"  # what a real core says, with 500
        if any(answer.status_code >= 500 and answer.text != known for answer in answers):
            raise AssertionError(f"statuses {[answer.status_code for answer in answers]}")
        return any(answer.is_json and answer.get_json().get("session") for answer in answers)

    return ask


def _sendable(headers: dict[str, str]) -> dict[str, str]:
    """A server takes no line breaks in a header."""
    return {name: value.replace("\r", "").replace("\n", "").replace("\0", "") for name, value in headers.items()}


def _latin(headers: dict[str, str]) -> dict[str, str]:
    return {name: value.encode().decode("latin-1") for name, value in headers.items()}


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8", "replace")


def fuzz(number: int, seed: int = 0) -> Counter[str]:
    """Feed so many inputs; how many each parser got, and what went wrong."""
    engine = an_engine(MemoryStore(), Clock(), cache_size=0)
    grant = engine.create(a_session())
    samples = [grant.access.raw, refresh_token_of(grant), engine.create(a_session("user-2")).access.raw]
    grammar, figures = Grammar(seed, samples), Counter[str]()
    for name, (parser, share) in parsers(samples, engine).items():
        for _ in range(int(number * share)):
            text = grammar.text()
            figures["inputs"] += 1
            try:
                if parser(text):
                    figures["accepted"] += 1
                    print(f"{name} accepted {text[:300]!r}", file=sys.stderr)
            except Exception as error:
                figures["unhandled"] += 1
                print(f"{name} raised {error!r} for {text[:300]!r}", file=sys.stderr)
    return figures


def main(number: int = 1_000_000, seed: int = 0) -> None:
    logging.disable(logging.ERROR)
    start = time.perf_counter()
    figures = fuzz(number, seed)
    print(f"fuzz: {dict(figures)} in {time.perf_counter() - start:.0f} s")
    if figures["accepted"] or figures["unhandled"]:
        sys.exit("something was accepted or not handled; see above")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
