"""A response plan: clears before sets, each cookie and each header once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flask_supertokens.protocol.model import Method, SessionTokens
from flask_supertokens.protocol.presented import CookieNames
from flask_supertokens.protocol.response_plan import (
    ACCESS_COOKIE_LIFETIME,
    CORS_HEADERS,
    NO_PLAN,
    CookieRules,
    ResponsePlan,
    SetCookie,
    Sets,
    plan_cookies,
    plan_headers,
)

NOW = 1_700_000_000_000
NAMES = CookieNames("sAccessToken", "sRefreshToken", "/", "/refresh")
RULES = CookieRules(secure=True, same_site="lax", domain=None, older_domain=None)
TOKENS = SessionTokens("at", NOW + 1, "front", "rt", NOW + 2, "csrf")
RENEWED = SessionTokens("at-2", NOW + 1, "front-2")


def sets(method: Method = "cookie", tokens: SessionTokens = TOKENS, handle: str = "h", remember: bool = True) -> Sets:
    return Sets(handle, method, tokens, remember)


def test_the_headers_of_a_web_client_of_another_origin_must_be_allowed_to_it() -> None:
    """These must be allowed to it."""
    assert CORS_HEADERS == ("content-type", "rid", "fdi-version", "anti-csrf", "authorization", "st-auth-mode")


# -- out: cookies ------------------------------------------------------------------------------------------------------


def cookies(plan: ResponsePlan, **rules: Any) -> list[SetCookie]:
    return plan_cookies(plan, NAMES, replace(RULES, **rules), NOW)


def test_an_empty_plan_writes_nothing() -> None:
    """An empty plan writes nothing."""
    assert ResponsePlan() == NO_PLAN
    assert (cookies(ResponsePlan()), plan_headers(ResponsePlan(), expose_access_token=True)) == ([], {})


def test_cookies_are_set_for_a_year_and_for_the_refresh_token_s_life() -> None:
    """The access cookie lives a year, so that an expired token still arrives; the refresh cookie as long as its token."""
    assert cookies(ResponsePlan(sets=sets()), domain=".example.com") == [
        SetCookie("sAccessToken", "at", "/", ".example.com", NOW + ACCESS_COOKIE_LIFETIME, 31_536_000),
        SetCookie("sRefreshToken", "rt", "/refresh", ".example.com", NOW + 2, 1),
    ]


def test_cookies_that_end_with_the_browser_have_no_expiry() -> None:
    """Neither cookie says when it expires."""
    lines = cookies(ResponsePlan(sets=sets(remember=False)))
    assert [(line.expires, line.max_age) for line in lines] == [(None, None), (None, None)]


def test_an_access_token_alone_leaves_the_refresh_cookie_as_it_is() -> None:
    """The refresh cookie is left as it is."""
    assert [line.name for line in cookies(ResponsePlan(sets=sets(tokens=RENEWED)))] == ["sAccessToken"]


def test_signs_that_cookies_cannot_hold_are_percent_encoded_but_slashes_stay() -> None:
    """Values are percent-encoded, ``/`` stays literal."""
    tokens = replace(TOKENS, access_token="a.b-c_d~/+=% ä;")
    assert cookies(ResponsePlan(sets=sets(tokens=tokens)))[0].value == "a.b-c_d~/%2B%3D%25%20%C3%A4%3B"


def test_cleared_cookies_are_emptied_where_they_were_set() -> None:
    """Both are emptied where they were set."""
    assert cookies(ResponsePlan().cleared(["cookie"]), domain="example.com") == [
        SetCookie("sAccessToken", "", "/", "example.com", 0, 0),
        SetCookie("sRefreshToken", "", "/refresh", "example.com", 0, 0),
    ]


def test_a_sign_out_clears_pages_too() -> None:
    """Tokens are cleared in both methods, pending ones dropped, and the browser forgets the pages that it kept."""
    plan = ResponsePlan().with_sets(sets()).signed_out()
    assert (plan.clears, plan.sets, plan.clears_pages) == (frozenset({"cookie", "header"}), None, True)
    assert not ResponsePlan().with_sets(sets()).cleared().clears_pages


def test_a_plan_names_the_session_whose_tokens_it_sets() -> None:
    """The one whose tokens go out; none where none do."""
    assert ResponsePlan().with_sets(sets(handle="other")).sets_handle == "other"
    assert ResponsePlan().sets_handle is None


@pytest.mark.parametrize("tokens", [TOKENS, RENEWED])
def test_a_cookie_that_is_set_is_not_cleared_as_well_and_clears_come_first(tokens: SessionTokens) -> None:
    """What is set is not cleared as well: one line a cookie, clears first."""
    plan = ResponsePlan().cleared().with_sets(sets(tokens=tokens))
    values = [(line.name, line.value) for line in cookies(plan)]
    refresh = ("sRefreshToken", tokens.refresh_token or "")
    assert sorted(values) == [("sAccessToken", tokens.access_token), refresh]
    assert values == sorted(values, key=lambda pair: pair[1] != "")


@pytest.mark.parametrize(
    ("older_domain", "domain"), [("", None), ("old.example.com", "old.example.com")], ids=["host only", "a domain"]
)
@pytest.mark.parametrize("which", [(True, False), (False, True), (True, True)])
def test_only_duplicated_names_are_cleared_on_the_older_domain(
    which: tuple[bool, bool], older_domain: str, domain: str | None
) -> None:
    """Only the duplicated names, on the older domain."""
    plan = ResponsePlan(clears_duplicates=which)
    both = [SetCookie("sAccessToken", "", "/", domain, 0, 0), SetCookie("sRefreshToken", "", "/refresh", domain, 0, 0)]
    expected = [line for line, wanted in zip(both, which, strict=True) if wanted]
    assert cookies(plan, older_domain=older_domain, domain="new.example.com") == expected


def test_the_cookie_of_an_old_sdk_is_cleared_at_the_root_path() -> None:
    """At ``/``, where that SDK set it."""
    expected = [SetCookie("sIdRefreshToken", "", "/", None, 0, 0)]
    assert cookies(ResponsePlan().clearing_legacy()) == expected


# -- out: headers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plan", "expose", "headers"),
    [
        (ResponsePlan(sets=sets()), False, {"front-token": "front", "anti-csrf": "csrf"}),
        (
            ResponsePlan(sets=sets()),
            True,
            {"front-token": "front", "anti-csrf": "csrf", "st-access-token": "at"},
        ),
        (
            ResponsePlan(sets=sets("header")),
            False,
            {"front-token": "front", "st-access-token": "at", "st-refresh-token": "rt"},
        ),
        (ResponsePlan(sets=sets("header", RENEWED)), False, {"front-token": "front-2", "st-access-token": "at-2"}),
        (ResponsePlan(sets=sets(tokens=RENEWED)), False, {"front-token": "front-2"}),
        (ResponsePlan().cleared(["cookie"]), True, {"front-token": "remove"}),
        (
            ResponsePlan().cleared(["header"]),
            False,
            {"front-token": "remove", "st-access-token": "", "st-refresh-token": ""},
        ),
        (
            ResponsePlan().with_sets(sets(), clear_other=True),
            False,
            {"front-token": "front", "anti-csrf": "csrf", "st-access-token": "", "st-refresh-token": ""},
        ),
        (
            ResponsePlan().with_sets(sets("header"), clear_other=True),
            False,
            {"front-token": "front", "st-access-token": "at", "st-refresh-token": "rt"},
        ),
        (ResponsePlan(placeholder="p", clears_duplicates=(True, False)), False, {"front-token": "p"}),
        (ResponsePlan().clearing_legacy(), False, {}),
    ],
)
def test_each_header_is_written_once_and_front_token_with_every_change(
    plan: ResponsePlan, expose: bool, headers: dict[str, str]
) -> None:
    """Each name once; ``front-token`` with every access token and every clear, the new one where both happen."""
    assert plan_headers(plan, expose_access_token=expose) == headers


# -- out: what comes later wins ----------------------------------------------------------------------------------------


def test_a_clear_after_tokens_were_made_drops_what_was_to_be_set() -> None:
    """Pending sets are dropped: ``front-token: remove``, no ``anti-csrf``, no token anywhere."""
    plan = ResponsePlan().with_sets(sets()).cleared()
    assert [line.value for line in cookies(plan)] == ["", ""]
    headers = plan_headers(plan, expose_access_token=True)
    assert headers == {"front-token": "remove", "st-access-token": "", "st-refresh-token": ""}


def test_a_payload_change_after_a_sign_in_keeps_its_refresh_and_anti_csrf_tokens() -> None:
    """The newer access token goes out with the refresh token and the anti-CSRF token from before."""
    plan = ResponsePlan().with_sets(sets()).with_sets(sets(tokens=RENEWED))
    assert [line.value for line in cookies(plan)] == ["at-2", "rt"]
    assert plan_headers(plan, expose_access_token=False) == {"front-token": "front-2", "anti-csrf": "csrf"}


def test_a_second_session_in_one_request_leaves_nothing_of_the_first() -> None:
    """Nothing of the first one is left."""
    plan = ResponsePlan().with_sets(sets()).with_sets(sets(tokens=RENEWED, handle="other"))
    assert [line.value for line in cookies(plan)] == ["at-2"]
    assert "anti-csrf" not in plan_headers(plan, expose_access_token=False)


def test_tokens_are_masked_where_a_plan_is_printed() -> None:
    """Tokens are masked."""
    tokens = SessionTokens("secret-1", NOW, "secret-2", "secret-3", NOW, "secret-4")
    plan = ResponsePlan(sets=sets(tokens=tokens), placeholder="secret-5")
    assert "secret" not in repr(plan) + repr(cookies(plan))


def test_tokens_for_a_json_body_are_all_that_a_client_keeps() -> None:
    """All that a client keeps, under the names of the attributes; what is not there is left out."""
    times = {"access_token_expires_at": NOW + 1, "refresh_token_expires_at": NOW + 2}
    assert TOKENS.as_dict() == {"access_token": "at", "refresh_token": "rt", "anti_csrf_token": "csrf", **times}
    assert RENEWED.as_dict() == {"access_token": "at-2", "access_token_expires_at": NOW + 1}
