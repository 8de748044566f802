"""What a session costs: protected requests over plain Flask, beside Flask-JWT-Extended, and refreshes a second.

Run: ``python benchmarks/sessions.py [--rounds 15] [--calls 400] [--refreshes 1500]``
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from typing import Any

from flask import Flask

from flask_supertokens import SuperTokens, create_new_session, verify_session

Call = Callable[[], Any]


def call(app: Flask, method: str, path: str, headers: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """One request straight through WSGI; returns the response's headers."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "localhost",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": None,
        "wsgi.version": (1, 0),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **(headers or {}),
    }
    answer: list[Any] = []
    body: Iterable[bytes] = app.wsgi_app(environ, lambda status, sent, _=None: answer.extend((status, sent)))
    b"".join(body)
    if not answer[0].startswith("200"):
        raise SystemExit(f"{method} {path} answered {answer[0]}")
    return answer[1]  # type: ignore[no-any-return]


def cookies(headers: list[tuple[str, str]]) -> dict[str, str]:
    """The ``Cookie`` header that a browser would send next."""
    pairs = [value.split(";")[0] for name, value in headers if name == "Set-Cookie"]
    return {"HTTP_COOKIE": "; ".join(pairs)}


def sessions_app(folder: str, **settings: Any) -> Flask:
    """An app with this extension on a SQLite file."""
    app = Flask(__name__, instance_path=folder)
    app.config.update(SECRET_KEY="a secret of the benchmark", **settings)
    SuperTokens(app)

    @app.get("/plain")
    def plain() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/protected")
    @verify_session
    def protected() -> dict[str, bool]:
        return {"ok": True}

    @app.post("/login")
    def login() -> dict[str, bool]:
        create_new_session("user-1", access_token_payload={"role": "admin"})
        return {"ok": True}

    return app


def bare_app() -> Flask:
    """Flask without any extension; with a secret key, since Flask looks for its own session cookie then."""
    app = Flask("bare")
    app.config["SECRET_KEY"] = "a secret of the benchmark"

    @app.get("/plain")
    def plain() -> dict[str, bool]:
        return {"ok": True}

    return app


def jwt_extended_app(algorithm: str) -> tuple[Flask, dict[str, str]]:
    """An app with Flask-JWT-Extended, and the header of a user who is logged in."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa
    from flask_jwt_extended import JWTManager, create_access_token, jwt_required

    app = Flask(f"jwt_extended_{algorithm}")
    app.config["SECRET_KEY"] = "a secret of the benchmark"
    app.config["JWT_ALGORITHM"] = algorithm
    if algorithm == "HS256":
        app.config["JWT_SECRET_KEY"] = "a secret of the benchmark, long enough"
    else:
        key: Any = (
            rsa.generate_private_key(public_exponent=65537, key_size=2048)
            if algorithm == "RS256"
            else ec.generate_private_key(ec.SECP256R1())
        )
        app.config["JWT_PRIVATE_KEY"] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        app.config["JWT_PUBLIC_KEY"] = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    JWTManager(app)

    @app.get("/protected")
    @jwt_required()
    def protected() -> dict[str, bool]:
        return {"ok": True}

    with app.app_context():
        token = create_access_token("user-1", additional_claims={"role": "admin"})
    return app, {"HTTP_AUTHORIZATION": f"Bearer {token}"}


def request_cases(folder: str) -> dict[str, Call]:
    """What is measured, by name; the first one is the base line."""
    bare, plain = bare_app(), sessions_app(folder)
    cold = sessions_app(folder, SUPERTOKENS_VERIFIED_TOKEN_CACHE_SIZE=0)
    checked = sessions_app(folder, SUPERTOKENS_CHECK_DATABASE=True)
    jar = cookies(call(plain, "POST", "/login"))
    cases: dict[str, Call] = {
        "plain Flask": lambda: call(bare, "GET", "/plain", jar),
        "with the extension, view without session": lambda: call(plain, "GET", "/plain", jar),
        "protected, token seen before": lambda: call(plain, "GET", "/protected", jar),
        "protected, first sight": lambda: call(cold, "GET", "/protected", jar),
        "protected, check_database (SQLite)": lambda: call(checked, "GET", "/protected", jar),
    }
    if importlib.util.find_spec("flask_jwt_extended") is not None:
        for algorithm in ("HS256", "RS256", "ES256"):
            app, headers = jwt_extended_app(algorithm)
            cases[f"Flask-JWT-Extended {algorithm}"] = lambda app=app, headers=headers: call(  # type: ignore[misc]
                app, "GET", "/protected", headers
            )
    return cases


def measure(cases: dict[str, Call], rounds: int, calls: int) -> dict[str, float]:
    """Median microseconds of each case over the base line of the same round; the base line itself in full."""
    base_name = next(iter(cases))
    times: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds + 1):
        took = {name: _timed(case, calls) for name, case in cases.items()}
        if number:  # the first round warms up
            for name, value in took.items():
                times[name].append(value - (0 if name == base_name else took[base_name]))
    return {name: statistics.median(values) for name, values in times.items()}


def _timed(case: Call, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        case()
    return (time.perf_counter() - start) / calls * 1e6


def refreshes_a_second(folder: str, count: int) -> float:
    """Chained refreshes through Flask on SQLite: each promotes the last child and mints the next.

    The clock is moved by a little more than the race window before each, as if the client came that much later.
    """
    app = sessions_app(folder, SUPERTOKENS_REFRESH_RACE_WINDOW=1)
    moment = [time.time_ns() // 1_000_000]
    app.extensions["supertokens"].engine.clock = lambda: moment[0]
    jar = cookies(call(app, "POST", "/login"))
    jar = cookies(call(app, "POST", "/refresh", jar))
    start = time.perf_counter()
    for _ in range(count):
        moment[0] += 1_100
        jar = cookies(call(app, "POST", "/refresh", jar))
    return count / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--refreshes", type=int, default=1500)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(request_cases(folder), options.rounds, options.calls)
    base_name = next(iter(figures))
    print(f"{base_name}: {figures[base_name]:.0f} µs a request. Over that, median of {options.rounds} rounds:")
    for name, value in list(figures.items())[1:]:
        print(f"  {name:<45} {value:>8.1f} µs")
    with tempfile.TemporaryDirectory() as folder:
        runs = [refreshes_a_second(f"{folder}/{number}", options.refreshes) for number in range(3)]
    print(
        f"refresh (promote + mint) through Flask on SQLite, one process: {statistics.median(runs):.0f}/s (median of 3)"
    )


if __name__ == "__main__":
    main()
