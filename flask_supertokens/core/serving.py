"""A core over HTTP, as a blueprint or as an app of its own: reads a request, runs the call, writes the response.

* Paths are ``[/appid-<app>][/<tenant>]/recipe/…``; apps and tenants are added by PUT, as on a real core.
* Without API keys it serves the programs of this machine, and no page that a browser on it shows: what says ``Origin`` or
  ``Sec-Fetch-Site``, and what was sent to another name than one of the machine itself (a page's own, that points here), is 403.
"""

from __future__ import annotations

import json
import logging
import re

from flask import Blueprint, Flask, Response, current_app, request
from flask.blueprints import BlueprintSetupState

from ..errors import GeneralError
from ..protocol.cdi import VERSIONS, version_number
from ..protocol.hosts import is_local
from ..protocol.model import FIRST_APP, PUBLIC_TENANT
from ..state import EXTENSION
from .apps import Core, make_core
from .calls import ENDPOINTS, Endpoint, list_keys
from .requests import WITH_TENANTS, Call, CallError, read_body

logger: logging.Logger = logging.getLogger("flask_supertokens")

STATE = "supertokens_core"
_METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH"]
_PATH = re.compile(
    r"(?:/appid-(?P<app>[a-z0-9-]{1,57}))?(?:/(?P<tenant>(?!appid-)[a-z0-9-]{1,64}))?(?P<call>"
    + "|".join(sorted({re.escape(path) for _, path in ENDPOINTS}))
    + ")"
)


def make_blueprint(name: str = STATE, *, needs_api_keys: bool = True) -> Blueprint:
    """Make a blueprint with which an app is a SuperTokens core for other services; register it below a prefix, or at the root.

    The app needs `SuperTokens` with the embedded engine, and ``SUPERTOKENS_CORE_API_KEYS``.

    :param needs_api_keys: ``False`` serves any program, but no browser, that calls by a name of this machine (``localhost``).
    :raises RuntimeError: when it is registered before `SuperTokens`.
    :raises ValueError: when it is registered on an app without the embedded engine, or without API keys.
    """
    blueprint = Blueprint(name, __name__)
    blueprint.add_url_rule("/<path:path>", "call", serve, methods=_METHODS)

    def on_register(setup: BlueprintSetupState) -> None:
        state = setup.app.extensions.get(EXTENSION)
        if state is None:
            raise RuntimeError("Call SuperTokens(app) before the core's blueprint is registered.")
        setup.app.extensions[STATE] = make_core(state, needs_api_keys=needs_api_keys)

    blueprint.record(on_register)
    return blueprint


def make_core_app(core: Core) -> Flask:
    """Make a Flask app that is a core and nothing else."""
    app = Flask("supertokens_core", static_folder=None)
    app.extensions[STATE] = core
    app.add_url_rule("/", "root", serve)
    app.add_url_rule("/<path:path>", "call", serve, methods=_METHODS)
    return app


def serve(path: str = "") -> Response:
    """Run the call that a request makes, and write its response."""
    core: Core = current_app.extensions[STATE]
    try:
        _check_caller(core)
        endpoint, call = _read_call(core, f"/{path}")
        content = endpoint.run(call)
    except CallError as error:
        return _write_text(error.status, error.text)
    except ValueError as error:  # what the engine does not take: not JSON, or too large
        return _write_text(400, str(error))
    except GeneralError as error:
        logger.error("A call of the core failed: %s", error.description, exc_info=error)
        ended = len(error.ended)
        done = f"{ended} sessions were ended, repeat the call to end the rest" if ended else "nothing was changed"
        return _write_text(503, f"The session store can't be reached; {done}.")
    if isinstance(content, str):
        return _write_text(200, content)
    response = Response(json.dumps(content, separators=(",", ":")), content_type="application/json;charset=UTF-8")
    if endpoint.run is list_keys:
        response.headers["Cache-Control"] = f"max-age={call.engine.upkeep.seconds_until_next_key()}, must-revalidate"
        response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _check_caller(core: Core) -> None:
    """Refuse what a browser sends, and what was sent to another name than this machine's, where there are no API keys.

    :raises CallError: 403.
    """
    if core.api_keys:
        return
    advice = "For services elsewhere set SUPERTOKENS_CORE_API_KEYS."
    if "Origin" in request.headers or "Sec-Fetch-Site" in request.headers:
        raise CallError(403, f"This core has no API keys, so no browser may call it. {advice}")
    if not is_local(request.environ.get("HTTP_HOST", "localhost")):
        raise CallError(403, f"This core has no API keys, so it is there as localhost and 127.0.0.1 only. {advice}")


def _read_call(core: Core, path: str) -> tuple[Endpoint, Call]:
    """Find what is called, and check in this order: path, method, API key, version, app and tenant, body.

    :raises CallError: one of them is wrong.
    """
    # SDKs write names as they were given, and "/appid-a//recipe/…" where they were given no tenant.
    parts = _PATH.fullmatch(re.sub("/+", "/", path).lower())
    if parts is None:
        raise CallError(404, "Not found")
    endpoint = ENDPOINTS.get((request.method, parts["call"]))
    if endpoint is None:
        raise CallError(405, "Method not supported")
    if endpoint.needs_key and not core.admits(request.headers.get("api-key")):
        raise CallError(401, "Invalid API key")
    newest = VERSIONS[-1]
    version = request.headers.get("cdi-version", newest) if endpoint.has_version else newest
    if version not in VERSIONS:
        raise CallError(400, f"cdi-version {version[:40]} not supported")
    if parts["tenant"] is not None and version_number(version) < WITH_TENANTS:
        raise CallError(404, "Not found")
    app_id, tenant_id = parts["app"] or FIRST_APP, parts["tenant"] or PUBLIC_TENANT
    if endpoint.needs_tenant and not core.has(app_id, tenant_id):
        raise CallError(
            400,
            "AppId or tenantId not found => Tenant with the following connectionURIDomain, appId and tenantId combination"
            f" not found: (, {app_id}, {tenant_id})",
        )
    body = read_body(request) if request.method in ("POST", "PUT") else {}
    return endpoint, Call(core, app_id, tenant_id, version_number(version), body, request.args)


def _write_text(status: int, text: str) -> Response:
    """Write a text as a real core does, which calls it HTML."""
    return Response(f"{text}\n", status, content_type="text/html;charset=UTF-8")
