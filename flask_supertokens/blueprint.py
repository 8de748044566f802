"""The routes: POST refresh and POST sign-out, the public keys, discovery, health; and our pages' files."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from flask import Blueprint, Flask, Response, current_app, has_request_context, redirect, request

from . import browser
from .config import Settings
from .context import app_state, request_state
from .errors import DuplicateCookiesError, UnauthorisedError
from .sessions import check_health, refresh_session
from .sessions.verifying import verify_request

_HOST_VALUE = "supertokens_host"
_ANY_HOST = f"<string(minlength=0):{_HOST_VALUE}>"


def make_blueprint(settings: Settings, app: Flask) -> Blueprint:
    """The blueprint ``supertokens``: our templates, and the routes where the settings say, unless the app has its own.

    Where the app tells hosts or subdomains apart, the routes are on all of them: whoever logs in on one refreshes there.
    """
    if not settings.register_routes:
        return Blueprint("supertokens", __name__, template_folder="pages")
    blueprint = Blueprint(
        "supertokens",
        __name__,
        template_folder="pages",
        static_folder="pages/assets",
        static_url_path=settings.assets_path,
    )
    anywhere: dict[str, Any] = {}
    if app.url_map.host_matching or app.subdomain_matching:
        anywhere = {"host" if app.url_map.host_matching else "subdomain": _ANY_HOST}
        blueprint.url_value_preprocessor(_drop_host)
        blueprint.url_defaults(_fill_in_host)
        blueprint.add_url_rule(
            f"{settings.assets_path}/<path:filename>", "static", blueprint.send_static_file, **anywhere
        )
    blueprint.add_url_rule(settings.refresh_path, "refresh", refresh, methods=["POST"], **anywhere)
    blueprint.add_url_rule(settings.signout_path, "signout", sign_out, methods=["POST"], **anywhere)
    blueprint.add_url_rule(settings.jwks_path, "jwks", jwks, **anywhere)
    if settings.api_domain is not None:
        blueprint.add_url_rule(settings.discovery_path, "discovery", discovery, **anywhere)
    if settings.health_path is not None:
        blueprint.add_url_rule(settings.health_path, "health", health, **anywhere)
    return blueprint


def _drop_host(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """No view of ours asks for the host that its rule was found on."""
    if values is not None:
        values.pop(_HOST_VALUE, None)


def _fill_in_host(_endpoint: str, values: dict[str, Any]) -> None:
    """``url_for`` leads to the host that is being served."""
    server = current_app.config["SERVER_NAME"] or ""
    host = request.host.lower() if has_request_context() else server
    if not current_app.url_map.host_matching:
        host = host.removesuffix(server).removesuffix(".") if server and host.endswith(f".{server}") else ""
    values.setdefault(_HOST_VALUE, host)


def refresh() -> Any:
    """Exchange the refresh token. The tokens leave with the response plan; the body is empty.

    A browser that navigates goes back to ``next``, also when the refresh was refused: a public page stays reachable.
    """
    if not browser.is_navigation():
        refresh_session()
        return _json("{}")
    target = browser.target_of_route()
    too_large = browser.read_body()
    if too_large is not None:
        raise too_large
    try:
        with contextlib.suppress(
            UnauthorisedError
        ):  # noted, so the tokens are cleared; the page will say that it is over
            refresh_session()
    except DuplicateCookiesError as error:
        again = browser.hop_again() if error.cleared else None
        if again is None:
            raise
        return again
    return browser.hop_back(target)


def sign_out() -> Any:
    """End this request's session. The web client needs a JSON body with ``status``; a plain form goes on to ``next``."""
    if not browser.is_navigation():
        _end_session()
        return _json('{"status":"OK"}')
    try:
        _end_session()
    except UnauthorisedError:  # signed out already, but a refresh cookie may be left
        if browser.is_own_form():  # whom another site sends here keeps it
            app_state().note(UnauthorisedError("A sign-out without a session."))
            request_state().change(request_state().plan.signed_out())
    return redirect(browser.target_of_route() or browser.home(), 303)


def _end_session() -> None:
    session = verify_request(app_state(), claim_validators=[])
    assert session is not None, "a session is required here"  # noqa: S101 - an invariant, not input
    session.revoke()


def jwks() -> Any:
    """The public keys (RFC 7517, section 5)."""
    keys, max_age = app_state().engine.published_keys()
    return _public({"keys": keys}, max_age)


def discovery() -> Any:
    """What other services need to verify our access tokens (OpenID Connect Discovery, section 3), by the settings alone."""
    state = app_state()
    settings, (keys, max_age) = state.settings, state.engine.published_keys()
    algorithms = sorted({key["alg"] for key in keys if "alg" in key})
    answer = {
        "issuer": settings.issuer,
        "jwks_uri": f"{settings.api_domain}{settings.mounted_at}{settings.jwks_path}",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }
    return _public(answer, max_age)


def health() -> Any:
    """200 when what is behind the engine is there, else 503; for load balancers."""
    check_health()
    return _json('{"status":"OK"}')


def _public(content: dict[str, Any], max_age: int) -> Response:
    response = _json(json.dumps(content, separators=(",", ":")))
    response.headers["Cache-Control"] = f"max-age={max_age}, must-revalidate"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _json(body: str) -> Response:
    return current_app.response_class(body, content_type="application/json; charset=utf-8")
