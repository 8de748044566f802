"""The official SDKs for Python and Node on a core of ours: their apps are driven as clients drive them."""

from __future__ import annotations

import time
from collections.abc import Callable

import jwt
import pytest

from ..support.threads import at_once
from .client import Client, refusal_of
from .conftest import AppOf, CoreOf, require_installed
from .processes import WINDOW, with_another_key

pytestmark = pytest.mark.sdks
TOKENS = ("st-access-token", "st-refresh-token", "front-token", "Set-Cookie")


def let_the_window_close() -> None:
    time.sleep(WINDOW + 0.1)


def is_alarmed(client: Client) -> bool:
    """Whether the app's theft handler was called for this client's session, with its user."""
    thefts = client.ask("GET", "/thefts")["thefts"]
    return {"handle": client.handle, "user": "user-1", "recipeUser": "user-1"} in thefts


@pytest.mark.parametrize("mode", ["header", "cookie"])
def test_a_user_signs_in_and_keeps_the_session_over_refreshes(app: str, mode: str) -> None:
    """Tokens travel by headers and by cookies; the session stays the same over refreshes."""
    client = Client(app, mode).sign_in(payload={"role": "admin"})
    for pause in (0, WINDOW + 0.1):
        time.sleep(pause)
        seen = client.ask("GET", "/me")
        assert (seen["user"], seen["payload"]["role"]) == ("user-1", "admin")
        assert seen["payload"]["sessionHandle"] == client.handle
        before = client.access_token, client.refresh_token
        assert client.refresh().status_code == 200
        assert not set(before) & {client.access_token, client.refresh_token}


def test_an_old_refresh_token_that_comes_back_is_a_theft(app: str) -> None:
    """Later than the window after the new one's first use it is a theft: the handler is told, the session is over."""
    owner = Client(app).sign_in()
    thief = owner.copy_to()
    owner.refresh()
    owner.ask("GET", "/me")
    let_the_window_close()
    assert refusal_of(thief.refresh()) == "token theft detected"
    assert is_alarmed(owner)
    assert refusal_of(owner.copy_to().call("GET", "/checked")) == "unauthorised"
    assert refusal_of(owner.refresh()) == "unauthorised"


def test_a_refresh_whose_response_is_lost_succeeds_again_without_an_alarm(app: str) -> None:
    """The same refresh token is sent again: another pair of tokens, no alarm."""
    client = Client(app).sign_in()
    client.copy_to().refresh()
    let_the_window_close()
    assert client.refresh().status_code == 200
    assert client.ask("GET", "/me")["user"] == "user-1"
    assert not is_alarmed(client)


def test_four_tabs_that_refresh_at_once_all_get_tokens_that_go_on(app: str) -> None:
    """All of them get tokens, any of which go on; no alarm."""
    client = Client(app).sign_in()
    tabs = [client.copy_to() for _ in range(4)]
    answers = at_once(len(tabs), lambda index: tabs[index].refresh())
    assert [answer.status_code for answer in answers] == [200] * len(tabs)
    let_the_window_close()
    assert tabs[2].ask("GET", "/me")["user"] == "user-1"
    assert tabs[2].refresh().status_code == 200
    assert not is_alarmed(client)


def test_a_revoked_session_is_refused_at_once_where_the_database_is_checked(app: str) -> None:
    """Views that check the database refuse at once, others when the access token ends."""
    client = Client(app).sign_in()
    assert client.ask("GET", "/checked")["user"] == "user-1"
    assert client.ask("DELETE", f"/sessions/{client.handle}") == {"revoked": True}
    assert client.call("GET", "/me").status_code == 200
    assert refusal_of(client.copy_to().call("GET", "/checked")) == "unauthorised"
    assert refusal_of(client.copy_to().refresh()) == "unauthorised"
    assert client.ask("DELETE", f"/sessions/{client.handle}") == {"revoked": False}
    assert client.ask("GET", f"/sessions/{client.handle}") == {"found": False}


def test_a_session_that_is_over_cannot_be_changed_and_its_client_is_signed_out(app: str) -> None:
    """Neither its data nor its payload can be; the client is logged out."""
    client = Client(app).sign_in()
    client.ask("DELETE", f"/sessions/{client.handle}")
    for method, path in (("GET", "/data"), ("PUT", "/data"), ("POST", "/merge")):
        assert refusal_of(client.copy_to().call(method, path, {"a": 1} if method != "GET" else None)) == "unauthorised"


def test_a_user_who_signs_out_has_no_session_in_the_core(app: str) -> None:
    """The SDK's own route ends the session in the core."""
    client = Client(app).sign_in()
    before = client.copy_to()
    assert client.call("POST", "/auth/signout").status_code == 200
    assert refusal_of(before.call("GET", "/checked")) == "unauthorised"


def test_a_payload_change_replaces_the_access_token_and_stays_after_a_refresh(app: str) -> None:
    """It is merged."""
    client = Client(app).sign_in(payload={"role": "admin", "old": 1})
    client.ask("POST", "/merge", {"plan": {"name": "größer"}, "old": None})
    for _ in range(2):
        payload = client.ask("GET", "/me")["payload"]
        assert (payload["role"], payload["plan"]) == ("admin", {"name": "größer"})
        assert "old" not in payload
        assert client.refresh().status_code == 200


def test_a_payload_change_elsewhere_is_seen_when_the_database_is_checked(app: str) -> None:
    """A merge by handle is seen when the database is checked, with a new access token."""
    client = Client(app).sign_in(payload={"role": "admin"})
    assert client.ask("POST", f"/sessions/{client.handle}/merge", {"plan": "pro"}) == {"found": True}
    assert "plan" not in client.ask("GET", "/me")["payload"]
    before = client.access_token
    assert client.ask("GET", "/checked")["payload"]["plan"] == "pro"
    assert client.access_token != before
    assert client.ask("GET", "/me")["payload"]["plan"] == "pro"
    assert client.ask("POST", "/sessions/no-such-handle/merge", {"plan": "pro"}) == {"found": False}


def test_session_data_are_kept_in_the_core_and_replaced_as_a_whole(app: str) -> None:
    """Session data are kept in the core, and replaced as a whole."""
    client = Client(app).sign_in(payload={"role": "admin"}, data={"cart": [1], "note": "é"})
    assert client.ask("GET", "/data") == {"cart": [1], "note": "é"}
    client.ask("PUT", "/data", {"cart": [1, 2]})
    assert client.ask("GET", "/data") == {"cart": [1, 2]}
    known = client.ask("GET", f"/sessions/{client.handle}")
    assert (known["user"], known["tenant"], known["data"]) == ("user-1", "public", {"cart": [1, 2]})
    assert known["payload"]["role"] == "admin"


def test_two_sessions_of_a_user_are_listed_and_revoked_together(app: str, sdk: str) -> None:
    """They are listed, and revoked together; another user's stays."""
    user = f"two-{sdk}"
    one, other, stranger = (Client(app).sign_in(name) for name in (user, user, "stranger"))
    path = f"/users/{user}/sessions"
    assert set(one.ask("GET", path)["handles"]) == {one.handle, other.handle}
    assert set(one.ask("DELETE", path)["handles"]) == {one.handle, other.handle}
    assert one.ask("GET", path)["handles"] == []
    assert refusal_of(other.call("GET", "/checked")) == "unauthorised"
    assert stranger.call("GET", "/checked").status_code == 200


def test_a_token_that_an_app_signs_verifies_with_the_published_keys(app: str) -> None:
    """A JWT that an SDK asks for verifies with the keys that the SDK publishes."""
    token = Client(app).ask("POST", "/jwt", {"for": "a service"})["jwt"]
    keys = jwt.PyJWKSet.from_dict(Client(app).ask("GET", "/auth/jwt/jwks.json"))
    claims = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], ["RS256"])
    assert (claims["for"], claims["exp"] - claims["iat"]) == ("a service", 60)


def test_unsafe_calls_and_refreshes_need_the_session_s_anti_csrf_token(strict_app: str) -> None:
    """With cookies an unsafe call and a refresh need the token of the session; a refresh gives one that passes."""
    client = Client(strict_app, "cookie").sign_in()
    without = client.copy_to()
    del without.tokens["anti-csrf"]
    assert without.call("GET", "/me").status_code == 200
    assert refusal_of(without.call("POST", "/me")) == "try refresh token"
    assert refusal_of(without.refresh()) == "unauthorised"
    for _ in range(2):
        assert client.ask("POST", "/me")["user"] == "user-1"
        assert client.refresh().status_code == 200


def test_access_tokens_are_signed_with_the_static_key_after_a_refresh_too(strict_app: str, app: str) -> None:
    """Access tokens are signed with the key that the SDK asks for, after a refresh too."""
    static, dynamic = Client(strict_app).sign_in(), Client(app).sign_in()
    for _ in range(2):
        kids = [jwt.get_unverified_header(client.access_token)["kid"][:2] for client in (static, dynamic)]
        assert kids == ["s-", "d-"]
        assert static.ask("GET", "/me")["user"] == "user-1"
        static.refresh()
        dynamic.refresh()


def test_a_wrong_api_key_signs_nobody_out_and_the_right_one_goes_on(
    restarted_app: str, core_of: CoreOf, uri_of: Callable[[str], str]
) -> None:
    """The SDK fails and logs nobody out: with the right key the same refresh token passes."""
    client = Client(restarted_app).sign_in()
    before = client.copy_to()
    with with_another_key(core_of("restarted"), uri_of("restarted")):
        answer = client.refresh()
        assert answer.status_code == 500
        assert not any(name in answer.headers for name in TOKENS)
    assert before.refresh().status_code == 200
    assert before.ask("GET", "/me")["user"] == "user-1"


def test_a_session_shared_by_three_apps_is_good_in_all_of_them(app_of: AppOf, our_app: str) -> None:
    """Made with the Python SDK, refreshed with the Node SDK and with ours, it is good in all of them."""
    python, node = (app_of((require_installed(sdk), "NONE", True), "sqlite") for sdk in ("python", "node"))
    client = Client(python).sign_in("traveller")
    for address in (node, our_app, python):
        let_the_window_close()
        client = client.copy_to(address)
        before = client.refresh_token
        assert client.refresh().status_code == 200
        assert client.refresh_token != before
        for other in (python, node, our_app):
            assert client.copy_to(other).ask("GET", "/me")["user"] == "traveller"
