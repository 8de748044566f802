"""The routes: POST refresh and POST sign-out, the public keys, discovery, health, and the files of our pages."""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterable
from typing import Any

from flask import Blueprint, Flask, Response, current_app, has_request_context, redirect, request
from werkzeug.routing import BaseConverter, Rule, RuleFactory

from . import browser
from .errors import DuplicateCookiesError, UnauthorisedError
from .sessions import check_health, refresh_session
from .sessions.consequences import note
from .sessions.own_routes import stands_at
from .sessions.request import request_state
from .sessions.verifying import verify_request
from .settings.keys import Settings
from .state import app_state

_NAME = "supertokens"
_HOST_VALUE = "supertokens_host"
_ANY_HOST = f"<{_HOST_VALUE}:{_HOST_VALUE}>"


class _AnyHost(BaseConverter):
    """Matches any host or subdomain, and none. It comes last: hosts in the app's own rules are matched first."""

    regex = "[^/]*"
    part_isolating = True
    weight = 10_000


def make_blueprint(settings: Settings, app: Flask) -> Blueprint:
    """Make the blueprint ``supertokens``: our templates, and the routes that the settings name.

    Where the app tells hosts or subdomains apart, the routes are on all of them: a user who signs in on one refreshes there.
    """
    names = settings.register_routes
    folder = "pages/assets" if "static" in names else None
    blueprint = Blueprint(
        _NAME, __name__, template_folder="pages", static_folder=folder, static_url_path=settings.assets_path
    )
    anywhere: dict[str, Any] = {}
    if app.url_map.host_matching or app.subdomain_matching:
        app.url_map.converters[_HOST_VALUE] = _AnyHost
        anywhere = {"host" if app.url_map.host_matching else "subdomain": _ANY_HOST}
        blueprint.url_value_preprocessor(_drop_host)
        blueprint.url_defaults(_fill_host)
    if folder and anywhere:
        files = f"{settings.assets_path}/<path:filename>"
        blueprint.add_url_rule(files, "static", blueprint.send_static_file, **anywhere)
    for name, (path, view, method) in _routes(settings).items():
        if name in names and path is not None:
            blueprint.add_url_rule(path, name, view, methods=[method], **anywhere)
    return blueprint


def _routes(settings: Settings) -> dict[str, tuple[str | None, Callable[[], Any], str]]:
    """Return each route but the files by its name: its path, if it has one, its view and its method."""
    discovery_path = None if settings.api_domain is None else settings.discovery_path
    return {
        "refresh": (settings.refresh_path, refresh, "POST"),
        "signout": (settings.signout_path, sign_out, "POST"),
        "jwks": (settings.jwks_path, jwks, "GET"),
        "discovery": (discovery_path, discovery, "GET"),
        "health": (settings.health_path, health, "GET"),
    }


def prefer_app_rules(app: Flask) -> None:
    """Let the app's rules at our paths win for their methods: rules that are there, and those that are added later.

    Werkzeug tries the rules of one path in the order in which they were added, so ours lose a method that another one takes.
    ``url_for`` still returns our path. Wraps ``app.url_map.add``.
    """
    urls = app.url_map
    ours = [rule for rule in urls.iter_rules() if _is_own_rule(rule)]
    add = urls.add

    def yield_to(others: Iterable[Rule]) -> None:
        for other in others:
            for rule in ours:
                if not _is_own_rule(other) and _serves_path_of(other, rule):
                    rule.methods = (rule.methods or set()) - other.methods if other.methods else set()

    @functools.wraps(add)
    def add_and_yield(rulefactory: RuleFactory) -> None:
        add(rulefactory)
        yield_to([rulefactory] if isinstance(rulefactory, Rule) else urls.iter_rules())

    urls.add = add_and_yield  # type: ignore[method-assign]
    yield_to(urls.iter_rules())


def _is_own_rule(rule: Rule) -> bool:
    return str(rule.endpoint).startswith(f"{_NAME}.")


def _serves_path_of(other: Rule, rule: Rule) -> bool:
    """Return whether requests for a rule of ours may reach another one at its path.

    Where hosts or subdomains are told apart our rules are on any of them, and Werkzeug prefers a rule that names one.
    """
    is_asked = not other.build_only and not other.websocket
    is_beside = other.host == rule.host if rule.map.host_matching else other.subdomain == rule.subdomain
    return is_asked and is_beside and stands_at(other, rule.rule)


def _drop_host(_endpoint: str | None, values: dict[str, Any] | None) -> None:
    """Remove the host that a rule was found on: no view of ours takes it."""
    if values is not None:
        values.pop(_HOST_VALUE, None)


def _fill_host(_endpoint: str, values: dict[str, Any]) -> None:
    """Let ``url_for`` lead to the host that is being served."""
    server = current_app.config["SERVER_NAME"] or ""
    host = request.host.lower() if has_request_context() else server
    if not current_app.url_map.host_matching:
        host = host.removesuffix(server).removesuffix(".") if server and host.endswith(f".{server}") else ""
    values.setdefault(_HOST_VALUE, host)


def refresh() -> Any:
    """Exchange the refresh token. The tokens leave with the response plan; the body is an empty JSON object.

    A browser that navigates is redirected back to ``next``, even when the refresh is refused: a public page stays reachable.

    :raises SuperTokensError: what `refresh_session` raises.
    """
    if not browser.is_navigation():
        refresh_session()
        return _make_json_response("{}")
    target = browser.read_target()
    too_large = browser.drain_body()
    if too_large is not None:
        raise too_large
    try:
        with contextlib.suppress(
            UnauthorisedError
        ):  # the tokens are cleared, and the page behind will ask for a log-in
            refresh_session()
    except DuplicateCookiesError as error:
        again = browser.repeat_hop() if error.cleared else None
        if again is None:
            raise
        return again
    return browser.finish_hop(target)


def sign_out() -> Any:
    """Sign out: revoke this request's session. The web client gets JSON with ``status``; a plain form is redirected to ``next``.

    :raises SuperTokensError: what `get_session` raises, except `UnauthorisedError` for a form: nobody is signed in, as asked.
    """
    if not browser.is_navigation():
        _revoke_current_session()
        return _make_json_response('{"status":"OK"}')
    try:
        _revoke_current_session()
    except UnauthorisedError:  # signed out already, but a refresh cookie may be left
        if browser.is_own_form():  # a form of another site does not remove it
            note(app_state(), UnauthorisedError("A sign-out without a session."))
            request_state().change(request_state().plan.signed_out())
    return redirect(browser.read_target() or browser.home_path(), 303)


def _revoke_current_session() -> None:
    session = verify_request(app_state(), claim_validators=[])
    assert session is not None, "a session is required here"  # noqa: S101 - an invariant, not input
    session.revoke()


def jwks() -> Any:
    """Return the public keys (RFC 7517, section 5).

    :raises GeneralError: no keys are cached, and the store or the core can't be reached.
    """
    keys, max_age = app_state().engine.upkeep.published_keys()
    return _make_public_response({"keys": keys}, max_age)


def discovery() -> Any:
    """Return what other services need to verify our access tokens (OpenID Connect Discovery, section 3), by the settings alone.

    :raises GeneralError: as `jwks`.
    """
    state = app_state()
    settings, (keys, max_age) = state.settings, state.engine.upkeep.published_keys()
    algorithms = sorted({key["alg"] for key in keys if "alg" in key})
    document = {
        "issuer": settings.issuer,
        "jwks_uri": f"{settings.api_domain}{settings.mounted_at}{settings.jwks_path}",
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }
    return _make_public_response(document, max_age)


def health() -> Any:
    """Respond 200 if the store or core behind the engine can be reached, else 503; for load balancers.

    :raises GeneralError: it can't be reached.
    """
    check_health()
    return _make_json_response('{"status":"OK"}')


def _make_public_response(content: dict[str, Any], max_age: int) -> Response:
    response = _make_json_response(json.dumps(content, separators=(",", ":")))
    response.headers["Cache-Control"] = f"max-age={max_age}, must-revalidate"
    response.headers["Access-Control-Allow-Origin"] = "*"
    return response


def _make_json_response(body: str) -> Response:
    return current_app.response_class(body, content_type="application/json; charset=utf-8")
