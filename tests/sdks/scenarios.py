"""What an SDK's public functions do in its own process, on a core of ours: a sentence for each scenario.

Each SDK has a function of the same name in its folder (``node/scenarios.js``, ``python/scenarios.py``). A configuration is one
process, which runs all its scenarios.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True)
class Configuration:
    """How the SDK is set up, what it shows, with which race windows of the core (seconds), and the settings of its app there."""

    anti_csrf: str
    dynamic_key: bool
    scenarios: Mapping[str, str]
    windows: tuple[int, ...]
    core_config: Mapping[str, float | str] = field(default_factory=dict)


class Run(NamedTuple):
    """One process."""

    sdk: str
    configuration: str
    window: int


USUAL = {
    "a_session_is_made_for_cookies": "Tokens come in two HttpOnly cookies and the front-token, and pass.",
    "a_session_is_made_for_headers": "Tokens come in headers, and pass.",
    "a_client_that_does_not_say_how_gets_headers": "Its tokens pass in headers and in cookies.",
    "a_session_is_made_without_a_request": "The tokens are handed to the app.",
    "a_session_goes_to_a_response_later": "What was made without a request is attached to a response, and refreshes.",
    "a_session_says_whose_it_is": "User, recipe user, tenant and the app's own names in the payload.",
    "a_payload_keeps_its_types": "JSON values come back as they were, from token and database, after a refresh too.",
    "protected_names_in_a_payload_are_left_out": "Nobody gets another user's session by a payload.",
    "a_user_id_is_empty": "It is a user id like others.",
    "nobody_is_signed_in": "A request without tokens is refused, or has no session where none is required.",
    "an_access_token_is_no_token": "It is refused.",
    "an_access_token_is_forged": "The client is sent to refresh.",
    "a_session_is_checked_in_the_database": "A revoked session is refused there at once, and elsewhere when its token ends.",
    "a_session_is_looked_at_by_its_handle": "User, tenant, data, payload and times; an unknown one is undefined.",
    "session_data_are_replaced": "As a whole, by session and by handle.",
    "a_session_is_revoked": "Once; then nothing can be done with it.",
    "a_view_ends_the_session": "The client's tokens are cleared.",
    "a_user_signs_out": "The SDK's route ends the session, and clears the client's tokens.",
    "several_sessions_are_revoked": "Those that were there are named.",
    "all_sessions_of_a_user_are_revoked": "They are listed, and end together; another user's stays.",
    "a_client_with_cookies_refreshes": "The SDK's route gives two new tokens of the same session.",
    "a_client_with_headers_refreshes": "The SDK's route gives two new tokens of the same session.",
    "a_view_refreshes": "A refresh by function keeps the payload.",
    "a_session_is_refreshed_without_a_request": "User, tenant, payload and data stay; both tokens are new.",
    "nobody_refreshes": "Without a refresh token it is refused.",
    "a_refresh_token_is_no_token": "It is refused, and the client's tokens are cleared.",
    "the_first_use_of_an_only_child": "Without a window it brings a token without parent at once, with the child's expiry.",
    "the_first_use_without_a_request": "The same; the token that came needs no core.",
    "a_child_is_used_twice": "Without a window each use brings a token without parent; within a window none does.",
    "the_parent_comes_back_after_the_first_use": "Without a window it is a theft; within a window it is forgiven.",
    "the_apps_handler_is_told_of_a_theft": "With handle and user, by the SDK's route; the owner's next refresh is refused.",
    "the_answer_to_a_refresh_is_lost": "The same refresh token gives another child, which goes on.",
    "the_first_refresh_of_two_children_decides": "Without a window the other one is a theft then, whichever was used before.",
    "a_child_refreshes_at_once": "Without a window it gets a new refresh token, within a window the same.",
    "four_tabs_refresh_at_once": "Each gets tokens that go on.",
    "ten_refreshes_in_a_row": "Used or not, each child refreshes, and the payload stays.",
    "the_payload_changes": "Token, front-token and database have the new payload, after a refresh too.",
    "the_payload_changes_twice_after_a_refresh": "Both changes are there, and no name that is not the app's.",
    "the_payload_changes_twice_after_the_first_use": "Both changes are there, and what was removed is not.",
    "the_payload_changes_in_two_requests_after_a_refresh": "By cookies and by headers.",
    "a_token_is_regenerated_twice_after_a_refresh": "The answer and the token have the app's names only, and can be sent back.",
    "a_token_is_regenerated_for_nobody": "A revoked session has none.",
    "the_payload_changes_elsewhere": "Changes by handle come when the database is checked, in a token that lives no longer.",
    "the_payload_of_a_child_changes_elsewhere": "The same for a refreshed token, and it goes on from there.",
    "the_front_token_follows": "It says user, expiry and payload of the access token.",
    "claims_are_fetched": "Boolean, primitive and array.",
    "claims_are_set_and_removed": "False and an empty list are values.",
    "claims_are_set_after_a_refresh": "Several, one after the other.",
    "claims_are_changed_by_handle": "Fetched, set, read and removed.",
    "claims_of_an_unknown_session": "The SDK says that there is none.",
    "a_primitive_claim_is_demanded": "A wrong value is refused with a reason.",
    "a_boolean_claim_is_demanded": "A wrong value is refused with a reason.",
    "an_array_claim_is_demanded": "All five validators.",
    "a_claim_that_is_missing_is_fetched": "It is in the new token, and in the core.",
    "a_claim_refuses_a_request": "With 403 and what was not met.",
    "claims_are_validated_by_handle": "What is missing is fetched.",
    "a_tenant_is_made": "The first call makes it.",
    "a_tenant_is_looked_at": "It is found, another is not.",
    "a_session_belongs_to_a_tenant": "After a refresh too; lists and revocation can be the tenant's only.",
    "the_sessions_of_a_user_in_all_tenants": "Without a tenant they are listed and revoked together.",
    "no_tenant_is_named": "An empty name is the public tenant.",
    "a_tenant_is_unknown": "The error names it.",
    "an_access_token_has_the_kind_of_key_that_was_asked_for": "After refresh, use and change too.",
    "the_app_changes_the_kind_of_key": "Tokens of before are sent to refresh, which brings the other kind.",
    "the_keys_are_published": "By function and by the SDK's route: both kinds, and the one that signed.",
    "discovery_says_where_the_keys_are": "By function and by the SDK's route.",
    "a_token_is_made_for_a_service": "With the key that was asked for, the static one by default.",
    "a_token_for_a_service_is_no_session": "It is refused.",
}
ANTI_CSRF_TOKENS = {
    "only_cookies_need_an_anti_csrf_token": "Headers have none and need none.",
    "an_unsafe_request_needs_the_anti_csrf_token": "A missing or wrong one is sent to refresh; views may say otherwise.",
    "a_refresh_needs_the_anti_csrf_token": "And brings one that passes.",
    "anti_csrf_tokens_without_a_request": "They are arguments; a refreshed token needs them at the core too.",
    "anti_csrf_tokens_are_turned_off_for_a_session": "It has none, after a refresh too.",
    "an_access_token_has_the_kind_of_key_that_was_asked_for": "The static one, here.",
    "the_app_changes_the_kind_of_key": "From dynamic to static, here.",
}
CUSTOM_HEADER = {
    "an_unsafe_request_needs_the_custom_header": "A safe one does not.",
    "a_refresh_needs_the_custom_header": "Without it it is refused, and the session goes on.",
    "headers_need_no_custom_header": "Nor do refreshes with them.",
    "without_a_request_the_app_looks_for_the_custom_header": "The SDK insists.",
}
SHORT_TOKENS = {
    "an_access_token_expires": "The client is sent to refresh, and goes on.",
    "an_access_token_expires_without_a_request": "Whether the database is checked or not, and when no session is required.",
    "the_payload_changes_when_the_access_token_has_expired": "The change is kept, and comes with the refresh.",
}
SHORT_SESSIONS = {
    "lifetimes_are_those_of_the_app": "The core knows them from the call that made the app.",
    "a_session_expires": "It is refused and known no more.",
}
SHORT_KEYS = {
    "the_signing_key_changes": "Tokens of the old key and of the new one pass.",
}
SDKS = ("python", "node")
CONFIGURATIONS = {
    "usual": Configuration("NONE", True, USUAL, (0, 30)),
    "anti_csrf_tokens": Configuration("VIA_TOKEN", False, ANTI_CSRF_TOKENS, (0, 30)),
    "custom_header": Configuration("VIA_CUSTOM_HEADER", True, CUSTOM_HEADER, (30,)),
    "short_tokens": Configuration("NONE", True, SHORT_TOKENS, (30,), {"access_token_validity": 3}),
    "short_sessions": Configuration(
        "NONE", True, SHORT_SESSIONS, (30,), {"access_token_validity": 2, "refresh_token_validity": 0.075}
    ),
    "short_keys": Configuration(
        "NONE", True, SHORT_KEYS, (30,), {"access_token_dynamic_signing_key_update_interval": "0.001"}
    ),
}
RUNS = [Run(sdk, name, window) for sdk in SDKS for name, what in CONFIGURATIONS.items() for window in what.windows]


def count(window: int) -> int:
    """How many scenarios each SDK runs on a core with this window."""
    return sum(len(what.scenarios) for what in CONFIGURATIONS.values() if window in what.windows)
