"""What the scenarios stand on: the official Python SDK in this process, and clients that call it without a network between.

Argument: JSON with ``core``, ``apiKey``, ``antiCsrf``, ``dynamicKey``, ``window`` (seconds) and
``coreConfig``.
"""

import base64
import contextlib
import copy
import itertools
import json
import os
import sys

from flask import Flask, request
from supertokens_python import InputAppInfo, RecipeUserId, SupertokensConfig, init
from supertokens_python.framework.flask import Middleware
from supertokens_python.recipe import session
from supertokens_python.recipe.session import syncio
from supertokens_python.recipe.session.asyncio import revoke_session

settings = json.loads(sys.argv[1])
REFRESH = "/auth/session/refresh"
COOKIES = {"sAccessToken": "access", "sRefreshToken": "refresh"}
HEADERS = {"st-access-token": "access", "st-refresh-token": "refresh", "anti-csrf": "anti_csrf", "front-token": "front"}
PROTECTED = {
    "sub",
    "iat",
    "exp",
    "iss",
    "sessionHandle",
    "refreshTokenHash1",
    "parentRefreshTokenHash1",
    "antiCsrfToken",
}
PROTECTED |= {"rsub", "tId", "stt"}
app = Flask("sdk_scenarios", static_folder=None)
thefts = []
functions = {}


async def on_theft(_request, handle, user_id, recipe_user_id, response):
    thefts.append({"handle": handle, "user": user_id, "recipe_user": recipe_user_id.get_as_string()})
    await revoke_session(handle)
    response.set_status_code(401)
    response.set_json_content({"message": "a theft"})
    return response


def keep_functions(original):
    functions["recipe"] = original
    return original


init(
    app_info=InputAppInfo(app_name="sdk", api_domain="http://localhost", origin="http://localhost"),
    framework="flask",
    mode="wsgi",
    telemetry=False,
    supertokens_config=SupertokensConfig(connection_uri=settings["core"], api_key=settings["apiKey"]),
    recipe_list=[
        session.init(
            cookie_secure=False,
            anti_csrf=settings["antiCsrf"],
            use_dynamic_access_token_signing_key=settings["dynamicKey"],
            error_handlers=session.InputErrorHandlers(on_token_theft_detected=on_theft),
            override=session.InputOverrideConfig(functions=keep_functions),
        )
    ],
)
app.config["PROPAGATE_EXCEPTIONS"] = True
Middleware(app)


@app.route("/view", methods=["GET", "POST"])
def view():
    request.environ["result"].append(request.environ["view"]())
    return {}


class Answer:
    def __init__(self, response, result):
        self.status = response.status_code
        self.headers = response.headers
        self.body = response.json
        self.result = result


class Client:
    """A client with one session, which keeps tokens as browsers (cookies) and phones (headers) do."""

    def __init__(self, mode="header", **tokens):
        self.mode = mode
        self.tokens = tokens
        self.sent = {}

    def copy(self, **tokens):
        other = copy.deepcopy(self)
        other.tokens |= tokens
        return other

    def call(self, method, path, view=None):
        """One request. ``view()`` is the app's; without it the SDK's own routes answer."""
        result = []
        environ = {"view": view, "result": result}
        http = app.test_client(use_cookies=False)
        response = http.open(path, method=method, headers=self._sent(path), environ_overrides=environ)
        self._keep(response)
        return Answer(response, result[0] if result else None)

    def create(self, user=None, tenant="public", payload=None, data=None):
        """A new session, in a request of its own."""
        user = RecipeUserId(a_user() if user is None else user)
        return self.call(
            "POST", "/view", lambda: syncio.create_new_session(request, tenant, user, payload, data)
        ).result

    def get(self, method="GET", **options):
        """The session of a request."""
        return self.call(method, "/view", lambda: syncio.get_session(request, **options))

    def refresh(self):
        return self.call("POST", REFRESH)

    def _sent(self, path):
        kind = "refresh" if path == REFRESH else "access"
        headers = {"st-auth-mode": self.mode, **self.sent}
        if self.tokens.get("anti_csrf"):
            headers["anti-csrf"] = self.tokens["anti_csrf"]
        if self.mode == "header" and self.tokens.get(kind):
            headers["Authorization"] = f"Bearer {self.tokens[kind]}"
        if self.mode == "cookie":
            sent = [
                (name, held) for name, held in COOKIES.items() if held in ("access", kind) and self.tokens.get(held)
            ]
            headers["Cookie"] = "; ".join(f"{name}={self.tokens[held]}" for name, held in sent)
        return headers

    def _keep(self, response):
        self.tokens |= {held: response.headers[name] for name, held in HEADERS.items() if name in response.headers}
        for line in response.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.tokens[COOKIES[name]] = value.strip('"')


_numbers = itertools.count()


def a_user():
    return f"python-{os.getpid()}-{next(_numbers)}"


def decoded(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def claims(token):
    return decoded(token.split(".")[1])


def key_of(token):
    return decoded(token.split(".")[0])["kid"]


def created(payload=None, data=None, user=None, tenant="public", **options):
    """A session without a request."""
    recipe_user = RecipeUserId(a_user() if user is None else user)
    return syncio.create_new_session_without_request_response(tenant, recipe_user, payload or {}, data or {}, **options)


def tokens_of(held):
    return held.get_all_session_tokens_dangerously()


def refreshed(held, **options):
    tokens = tokens_of(held)
    given = {"anti_csrf_token": tokens["antiCsrfToken"], **options}
    return syncio.refresh_session_without_request_response(tokens["refreshToken"], **given)


def verified(held, **options):
    tokens = tokens_of(held)
    return syncio.get_session_without_request_response(tokens["accessToken"], tokens["antiCsrfToken"], **options)


def own(payload):
    """The names in a payload that are the app's own."""
    return {name: value for name, value in payload.items() if name not in PROTECTED}


@contextlib.contextmanager
def raises(kind, text=""):
    """Something of this kind is raised inside; it is appended to the list."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
    assert caught, f"no {kind.__name__}"
    assert text in str(caught[0]), caught[0]
