"""Requests of other sites (CSRF): what a cookie authenticates must come from where it may."""

from __future__ import annotations

from ..context import AppState
from ..errors import CrossSiteRequestError, SuperTokensError, TryRefreshTokenError, UnauthorisedError
from ..protocol.model import AccessToken
from ..protocol.transport import Presented, has_request_marker, is_foreign, is_own_form, is_submitted, same_secret

_NO_ORIGIN = (
    " Without TLS a form of this app's own comes so if its page has Referrer-Policy: no-referrer. Nothing tells it from another"
    " site's then: use the policy same-origin, or https."
)


def check_request(state: AppState, presented: Presented, token: AccessToken, wanted: bool) -> None:
    """A call with the access cookie.

    :param wanted: ask for the marker or token of the anti-CSRF mode as well.
    """
    guarded = not presented.safe or presented.opens_websocket
    if guarded and is_foreign(presented, state.own_origins(), state.allows_origin):
        raise _foreign(state, presented, "A request with cookies")
    mode = state.settings.anti_csrf
    if not wanted or mode == "NONE" or is_own_form(presented, state.own_origins()):
        return
    if mode == "VIA_CUSTOM_HEADER" and not has_request_marker(presented):
        raise _without_marker(presented, TryRefreshTokenError("The rid header is missing (anti-CSRF)."))
    if mode == "VIA_TOKEN" and not same_secret(token.anti_csrf_token, presented.anti_csrf):
        raise TryRefreshTokenError("The anti-CSRF token is missing, or is not this session's.")


def missing_marker(state: AppState, presented: Presented) -> SuperTokensError | None:
    """The error of a refresh by cookie in mode ``VIA_CUSTOM_HEADER`` that comes without the marker."""
    if has_request_marker(presented) or is_own_form(presented, state.own_origins()):
        return None
    return _without_marker(presented, UnauthorisedError("The rid header is missing (anti-CSRF)."))


def check_foreign(state: AppState, presented: Presented) -> None:
    """A refresh; without cookies too (SameSite may have held them back): the answer would clear them, and log the user out."""
    if is_foreign(presented, state.own_origins(), state.allows_origin):
        raise _foreign(state, presented, "A refresh")


def _foreign(state: AppState, presented: Presented, what: str) -> CrossSiteRequestError:
    """Names what the browser said and what is allowed, for the log: mostly it is the app's own site, which no setting names."""
    origin, site = presented.get_header("Origin"), presented.get_header("Sec-Fetch-Site")
    by_function = ["what the app's function allows"] if state.settings.website_judges else []
    allowed = ", ".join([*state.own_origins(), *sorted(state.settings.website_domains), *by_function])
    hint = _NO_ORIGIN if origin == "null" and site is None else ""
    return CrossSiteRequestError(
        f"{what} came from another site: Origin {_shown(origin)}, Sec-Fetch-Site {_shown(site)}; allowed are {allowed}"
        f" (SUPERTOKENS_WEBSITE_DOMAIN names web sites).{hint}"
    )


def _shown(value: str | None) -> str:
    return "none" if value is None else repr(value[:200])


def _without_marker(presented: Presented, error: SuperTokensError) -> SuperTokensError:
    """What it means; but a form that a browser submits can't bring a header: no refresh would help, and none is lost."""
    return CrossSiteRequestError("A form of another origin has no rid header.") if is_submitted(presented) else error
