"""A Flask app on the official Python SDK, in the SDK's own virtual environment; the core's address is in ``BENCH_CORE``.

Run as a module it is a stop watch: it prints the headers of a log-in, and then, for each line ``path calls``, the
microseconds that a request to this path takes more than one to plain Flask.
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

from flask import Flask
from supertokens_python import InputAppInfo, RecipeUserId, SupertokensConfig, init
from supertokens_python.framework.flask import Middleware
from supertokens_python.recipe import session
from supertokens_python.recipe.session.framework.flask import verify_session
from supertokens_python.recipe.session.syncio import create_new_session

from .rounds import compare_pairs
from .wsgi import call, cookies


def ok() -> dict[str, bool]:
    return {"ok": True}


def make_app() -> Flask:
    app = Flask("sdk")
    init(
        app_info=InputAppInfo(app_name="sdk", api_domain="http://localhost", origin="http://localhost"),
        framework="flask",
        mode="wsgi",
        telemetry=False,
        supertokens_config=SupertokensConfig(connection_uri=os.environ["BENCH_CORE"]),
        recipe_list=[session.init(cookie_secure=False, anti_csrf="NONE")],
    )
    Middleware(app)
    app.add_url_rule("/protected", "protected", verify_session()(ok))
    app.add_url_rule("/checked", "checked", verify_session(check_database=True)(ok))

    @app.post("/login")
    def login() -> Any:
        from flask import request

        create_new_session(request, "public", RecipeUserId("user-1"), {"role": "admin"})
        return ok()

    return app


def make_bare_app() -> Flask:
    app = Flask("bare")
    app.add_url_rule("/plain", "plain", ok)
    return app


def main() -> None:
    app, bare = make_app(), make_bare_app()
    headers = call(app, "POST", "/login", {"HTTP_ST_AUTH_MODE": "cookie"})
    sent = cookies(headers)
    print(json.dumps(headers), flush=True)
    for line in sys.stdin:
        path, calls = line.split()
        protected = partial(call, app, "GET", path, sent)
        print(compare_pairs(partial(call, bare, "GET", "/plain", sent), protected, int(calls)), flush=True)


if __name__ == "__main__":
    main()
