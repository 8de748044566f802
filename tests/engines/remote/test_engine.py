"""The remote engine: what it asks a core for, and what it makes of the answers."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests

from flask_supertokens.core.apps import Core
from flask_supertokens.engines.base import RefreshRequest
from flask_supertokens.engines.remote.client import CoreClient
from flask_supertokens.engines.remote.engine import RemoteEngine
from flask_supertokens.errors import GeneralError, TryRefreshTokenError, UnauthorisedError
from flask_supertokens.protocol import cdi
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.stores.memory import MemoryStore

from ...support.both import serve
from ...support.engines import RULES, a_session, present, refresh_grant, refresh_token_of, tokens_of
from ...support.plans import HOUR, SECOND, Clock
from ...support.served import REMOTE_SETTINGS, Serving, a_core, a_remote_engine, of_versions


class Calls(list[str]):
    """The calls that a client made, as ``METHOD /path``."""

    def __call__(self, request: requests.PreparedRequest) -> None:
        self.append(f"{request.method} {request.path_url}")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def calls() -> Calls:
    return Calls()


@pytest.fixture
def core(core_server: Serving, keys_of_a_core: list[SigningKey], clock: Clock) -> Iterator[Core]:
    core = a_core(MemoryStore(), clock, *keys_of_a_core)
    core_server[1](core)
    return core


@pytest.fixture
def engine(core_server: Serving, core: Core, clock: Clock, calls: Calls) -> RemoteEngine:
    return RemoteEngine(CoreClient((core_server[0],), None, 10, [calls]), REMOTE_SETTINGS, clock)


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_the_version_is_asked_for_once_and_each_new_session_is_one_call(engine: RemoteEngine, calls: Calls) -> None:
    """The version is asked for once, then there is one call for each session."""
    engine.create(a_session())
    engine.create(a_session(tenant_id="t1"))
    assert calls == ["GET /apiversion", "POST /public/recipe/session", "POST /t1/recipe/session"]


def test_verifying_a_token_without_parent_makes_no_call_but_one_for_the_keys(
    engine: RemoteEngine, calls: Calls
) -> None:
    """The keys are fetched once; no call is made for a token without a parent."""
    raw = engine.create(a_session()).access.raw
    calls.clear()
    for _ in range(50):
        engine.verify(present(engine, raw))
    assert calls == ["GET /.well-known/jwks.json"]


def test_a_refreshed_session_makes_no_call_once_the_core_has_settled_it(
    engine: RemoteEngine, clock: Clock, calls: Calls
) -> None:
    """The core is asked about a child; from the token that it gives for it on there is no call."""
    child = refresh_grant(engine, engine.create(a_session()))
    engine.verify(child.access)
    clock.wait(HOUR - SECOND)
    promoted = engine.verify(child.access)
    assert tokens_of(promoted).refresh_token is None
    calls.clear()
    engine.verify(present(engine, promoted.access.raw))
    assert calls == []


def test_on_a_core_without_tenants_any_other_than_the_public_one_is_an_error(
    engine: RemoteEngine, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The public tenant has no path there, and another one is an error that says so."""
    monkeypatch.setattr(cdi, "VERSIONS", ("2.21",))
    engine.create(a_session())
    assert calls[-1] == "POST /recipe/session"
    with pytest.raises(GeneralError, match=r"2\.21, which has no tenants"):
        engine.create(a_session(tenant_id="t1"))


@pytest.mark.parametrize("version", cdi.VERSIONS)
def test_every_dialect_has_the_whole_life_of_a_session(
    engine: RemoteEngine, clock: Clock, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """Created, refreshed, changed, asked about and revoked."""
    monkeypatch.setattr(cdi, "VERSIONS", (version,))
    first = engine.create(a_session(anti_csrf=True))
    grant = engine.refresh(RefreshRequest(refresh_token_of(first), True, tokens_of(first).anti_csrf_token))
    assert engine.regenerate(grant.access, {"role": "user"}).access.claims["role"] == "user"
    assert engine.verify(grant.access, check_database=True).access.claims["role"] == "user"
    (known,) = engine.sessions_of("user-1", None)
    assert (known.handle, known.tenant_id, known.recipe_user_id) == (first.access.handle, "public", "user-1")
    assert known.access_token_payload == {"role": "user"}
    assert engine.revoke_user("user-1", None, None) == [first.access.handle]


@pytest.mark.parametrize("versions", list(itertools.permutations(["2.21", "3.0", "5.4"], 2)), ids="-".join)
def test_a_session_lives_on_cores_of_two_versions_and_no_call_fails(
    keys_of_a_core: list[SigningKey], clock: Clock, versions: tuple[str, str]
) -> None:
    """In the middle of an upgrade they take turns: whichever made it, the other one knows it, and no call fails."""
    core = a_core(MemoryStore(), clock, *keys_of_a_core)
    with serve(of_versions(core, versions[0])) as one, serve(of_versions(core, versions[1])) as other:
        engine = a_remote_engine((one, other), clock)
        for _ in range(5):  # an odd number of calls each time, so that every call comes to both
            first = engine.create(a_session())
            child = refresh_grant(engine, first)
            assert engine.verify(child.access, check_database=True).access.user_id == "user-1"
            assert engine.regenerate(child.access, {"role": "user"}).access.claims["role"] == "user"
            assert engine.merge_data(first.access.handle, {"a": 1}) is True
            assert [known.session_data["a"] for known in engine.sessions_of("user-1", None)] == [1]
            assert engine.information(first.access.handle) is not None
            assert engine.revoke_user("user-1", None, None) == [first.access.handle]
    assert engine.client.versions_by_host() == {one: versions[0], other: versions[1]}


@pytest.mark.parametrize("where", ["tenant", "app"])
def test_every_call_says_what_to_correct_where_the_core_has_no_such_tenant(
    core_server: Serving, core: Core, clock: Clock, where: str
) -> None:
    """Each call fails with what is to be corrected; to try again is no use, so the error says that as well."""
    uri = core_server[0] if where == "tenant" else f"{core_server[0]}/appid-shop"
    tenant_id = "t9" if where == "tenant" else "public"
    engine = a_remote_engine(uri, clock)
    said = r"no tenant 't9' in its app 'public'.* correct the tenant_id" if where == "tenant" else "no app 'shop'"
    asked: list[Callable[[], Any]] = [
        lambda: engine.create(a_session(tenant_id=tenant_id)),
        lambda: engine.revoke_user("user-1", tenant_id, None),
        lambda: engine.handles_of("user-1", tenant_id),
    ]
    asked += [] if where == "tenant" else [lambda: engine.refresh(RefreshRequest("x")), engine.upkeep.ping]
    asked += [] if where == "tenant" else [engine.upkeep.published_keys]
    for ask in asked:
        with pytest.raises(GeneralError, match=said) as caught:
            ask()
        assert (caught.value.code, caught.value.retry) == (500, False)


# -- what is made of it ------------------------------------------------------------------------------------------------


def test_a_young_refresh_token_that_a_core_repeats_is_not_handed_out_again(engine: RemoteEngine) -> None:
    """It is not handed out again: an echo could overwrite its sibling in the jar."""
    child = refresh_grant(engine, engine.create(a_session()))
    echo = refresh_grant(engine, child)
    assert (tokens_of(echo).refresh_token, tokens_of(echo).refresh_token_expires_at) == (None, None)
    assert echo.access.fingerprint == child.access.fingerprint


def test_a_session_whose_access_token_would_not_fit_a_cookie_is_ended_again(engine: RemoteEngine) -> None:
    """The session is ended again, and the text says what helps."""
    with pytest.raises(ValueError, match="session_data has no such limit"):
        engine.create(a_session(payload={"long": "x" * 4000}))
    assert engine.sessions_of("user-1", None) == []


def test_the_issuer_and_audience_that_are_set_stand_in_every_token_of_the_session(
    core_server: Serving, core: Core, clock: Clock
) -> None:
    """They stand in the payload, so that every token of the session has them, and others are not accepted."""
    rules = dataclasses.replace(RULES, issuer="https://a.example", audience="shop", checks_issuer=True)
    engine = a_remote_engine(core_server[0], clock, rules=rules)
    grant = engine.create(a_session())
    child = refresh_grant(engine, grant)
    assert (child.access.claims["iss"], child.access.claims["aud"]) == ("https://a.example", "shop")
    engine.verify(grant.access)
    for changes in ({"issuer": "https://b.example"}, {"audience": "forum"}):
        other = a_remote_engine(core_server[0], clock, rules=dataclasses.replace(rules, **changes))
        with pytest.raises(TryRefreshTokenError, match="another"):
            other.verify(grant.access)


def test_with_the_static_key_wanted_tokens_of_the_other_kind_are_refreshed(
    core_server: Serving, core: Core, clock: Clock
) -> None:
    """New tokens are signed with it; those of the other kind are refreshed."""
    dynamic, static = (
        a_remote_engine(core_server[0], clock, rules=dataclasses.replace(RULES, dynamic=wanted))
        for wanted in (True, False)
    )
    old = dynamic.create(a_session())
    with pytest.raises(TryRefreshTokenError, match="other kind of key"):
        static.verify(old.access)
    new = refresh_grant(static, old)
    assert (old.access.kid[0], new.access.kid[0]) == ("d", "s")
    static.verify(new.access)


def test_a_new_payload_of_an_expired_token_is_stored_without_a_new_token(engine: RemoteEngine, clock: Clock) -> None:
    """The payload is stored; there is no new access token for one that has expired."""
    token = engine.create(a_session()).access
    clock.wait(2 * HOUR)
    assert engine.regenerate(token, {"role": "user"}).tokens is None
    known = engine.information(token.handle)
    assert known is not None
    assert known.access_token_payload == {"role": "user"}


ANSWERS: list[Any] = [
    None,
    [],
    {},
    {"status": 1},
    {"status": "OK"},
    {"status": "SURPRISE"},
    {"status": "OK", "session": {}},
    {"status": "OK", "session": {"handle": "h", "userId": 1, "userDataInJWT": {}}},
    {"status": "OK", "session": {"handle": "h", "userId": "u", "userDataInJWT": {}}, "accessToken": "x"},
    {
        "status": "OK",
        "session": {"handle": "h", "userId": "u", "userDataInJWT": {}},
        "accessToken": {"token": "a.b.c", "expiry": 1, "createdTime": 1},
    },
    {"status": "OK", "sessionHandlesRevoked": "all"},
    {"status": "OK", "sessionHandles": None},
    {"status": "TOKEN_THEFT_DETECTED"},
]


@pytest.mark.parametrize("answer", ANSWERS, ids=range(len(ANSWERS)))
def test_nonsense_from_a_core_is_its_failure_and_says_nothing_of_a_session(
    engine: RemoteEngine, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """It is a failure of the core, not a statement about a session."""
    child = refresh_grant(engine, engine.create(a_session()))
    monkeypatch.setattr(engine.client, "call", lambda build: (answer, False))
    for ask in (
        lambda: engine.create(a_session()),
        lambda: engine.verify(child.access),
        lambda: engine.refresh(RefreshRequest("x")),
        lambda: engine.regenerate(child.access, {}),
        lambda: engine.merge_payload("h", {}),
        lambda: engine.revoke(["h"]),
        lambda: engine.revoke_user("u", None, None),
        lambda: engine.sessions_of("u", None),
    ):
        with pytest.raises(GeneralError, match="answer"):
            ask()


def test_a_session_that_is_gone_is_unauthorised(engine: RemoteEngine) -> None:
    """Whoever asks for it is unauthorised."""
    child = refresh_grant(engine, engine.create(a_session()))
    engine.revoke([child.access.handle])
    with pytest.raises(UnauthorisedError):
        engine.verify(child.access)
    with pytest.raises(UnauthorisedError):
        engine.verify(child.access, check_database=True)
