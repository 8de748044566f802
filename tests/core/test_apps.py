"""What apps and tenants of a core do not see of one another, and what an app sets for itself."""

from __future__ import annotations

import gc
import pathlib
from typing import Any

import pytest
import requests
from flask.testing import FlaskClient

from flask_supertokens.core.apps import MAX_APPS
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.protocol.model import SigningKey
from flask_supertokens.signing import RELOAD_EVERY
from flask_supertokens.stores.base import Store
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import BrokenStore
from ..support.caller import NEW, Caller, kid_of
from ..support.core_process import CoreProcess
from ..support.engines import a_session
from ..support.plans import ACCESS_LIFETIME, REFRESH_LIFETIME, Clock
from ..support.records import sqlite_uri
from ..support.served import a_core

# -- apps and tenants --------------------------------------------------------------------------------------------------


def test_apps_share_no_sessions_tokens_keys_or_users(client: FlaskClient, core: Caller, clock: Clock) -> None:
    """Sessions, refresh tokens, keys and users of one are unknown to the other."""
    clock.wait(1)  # keys are named by the moment when they were made
    assert core.put("/recipe/multitenancy/app/v2", appId="shop").json == {"status": "OK", "createdNew": True}
    shop = Caller(client, base="/appid-shop")
    created = core.create()
    handle = created["session"]["handle"]
    assert shop.refresh(created["refreshToken"]["token"])["status"] == "UNAUTHORISED"
    assert shop.verify(created["accessToken"]["token"]) == {"status": "TRY_REFRESH_TOKEN", "message": "Key not found"}
    assert shop.get("/recipe/session", sessionHandle=handle).json["status"] == "UNAUTHORISED"
    assert shop.get("/recipe/session/user", userId="u").json["sessionHandles"] == []
    assert shop.post("/recipe/session/remove", sessionHandles=[handle]).json["sessionHandlesRevoked"] == []
    assert (
        shop.put("/recipe/session/data", sessionHandle=handle, userDataInDatabase={}).json["status"] == "UNAUTHORISED"
    )
    mine = {key["n"] for key in core.get("/.well-known/jwks.json").json["keys"]}
    assert mine.isdisjoint(key["n"] for key in shop.get("/.well-known/jwks.json").json["keys"])
    assert core.get("/recipe/session", sessionHandle=handle).json["status"] == "OK"


def test_apps_and_tenants_are_added_once_and_odd_names_are_refused(client: FlaskClient, core: Caller) -> None:
    """An app within an app is refused as well."""
    assert core.put("/recipe/multitenancy/tenant/v2", tenantId="T2").json["createdNew"] is True
    assert core.put("/recipe/multitenancy/tenant/v2", tenantId="t2").json["createdNew"] is False
    assert core.create("/t2/recipe/session")["session"]["tenantId"] == "t2"
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    assert Caller(client, base="/appid-shop").put("/recipe/multitenancy/app/v2", appId="x").status_code == 403
    for name in ("", "a/b", "ä", "a" * 58, "appid-x", "a b"):
        assert core.put("/recipe/multitenancy/tenant/v2", tenantId=name).status_code == 400


def test_an_empty_tenant_name_in_an_app_s_path_is_the_public_tenant(client: FlaskClient, core: Caller) -> None:
    """An SDK that is given an empty name leaves two slashes: it is the public tenant."""
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    assert Caller(client, base="/appid-shop").create("//recipe/session")["session"]["tenantId"] == "public"


def test_what_was_there_all_the_time_is_not_new_when_it_is_added(client: FlaskClient, core: Caller) -> None:
    """The public app and tenant are not new; nor is the public tenant of an app."""
    core.put("/recipe/multitenancy/app/v2", appId="Shop")
    shop = Caller(client, base="/appid-shop")
    for answer in (
        core.put("/recipe/multitenancy/tenant/v2", tenantId="public"),
        core.put("/recipe/multitenancy/app/v2", appId="public"),
        core.put("/recipe/multitenancy/app/v2", appId="shop"),
        shop.put("/recipe/multitenancy/tenant/v2", tenantId="public"),
    ):
        assert answer.json == {"status": "OK", "createdNew": False}


def test_a_tenant_of_one_app_is_unknown_to_another(client: FlaskClient, core: Caller) -> None:
    """As an unknown app is."""
    core.put("/recipe/multitenancy/app/v2", appId="shop")
    Caller(client, base="/appid-shop").put("/recipe/multitenancy/tenant/v2", tenantId="t2")
    assert Caller(client, base="/appid-shop").create("/t2/recipe/session")["session"]["tenantId"] == "t2"
    for base, names in (("/t2", "public, t2"), ("/appid-none", "none, public"), ("/appid-none/t2", "none, t2")):
        response = Caller(client, base=base).get("/recipe/session", sessionHandle="h")
        assert (response.status_code, response.text.endswith(f" not found: (, {names})\n")) == (400, True)


def test_names_of_apps_and_tenants_are_read_in_lower_case(client: FlaskClient, core: Caller) -> None:
    """They are those in lower case, when they are added and in a path: SDKs write them as they were given."""
    assert core.put("/recipe/multitenancy/app/v2", appId="Shop").json["createdNew"] is True
    for base in ("/appid-Shop", "/appid-shop"):
        shop = Caller(client, base=base)
        assert shop.put("/recipe/multitenancy/tenant/v2", tenantId="Acme").status_code == 200
        assert shop.create("/Acme/recipe/session")["session"]["tenantId"] == "acme"
        assert shop.create("/acme/recipe/session")["session"]["tenantId"] == "acme"
    assert Caller(client, base="/appid-X").get("/recipe/session", sessionHandle="h").status_code == 400


def test_tenants_that_share_a_user_list_and_revoke_their_own_sessions(client: FlaskClient, core: Caller) -> None:
    """Lists and revokes are of one tenant, or of all from the public one; a handle is found from anywhere."""
    here, there = core.create()["session"], core.create("/t1/recipe/session")["session"]
    t1 = Caller(client, base="/t1")
    assert t1.get("/recipe/session", sessionHandle=here["handle"]).json["tenantId"] == "public"
    one = t1.get("/recipe/session/user", userId="u", fetchAcrossAllTenants="false").json
    assert one["sessionHandles"] == [there["handle"]]
    assert set(core.get("/recipe/session/user", userId="u").json["sessionHandles"]) == {here["handle"], there["handle"]}
    gone = t1.post("/recipe/session/remove", userId="u", revokeAcrossAllTenants=False).json
    assert gone["sessionHandlesRevoked"] == [there["handle"]]
    assert core.get("/recipe/session/user", userId="u").json["sessionHandles"] == [here["handle"]]


def test_unknown_tenants_are_refused_and_nothing_is_kept_of_them(client: FlaskClient) -> None:
    """Each is refused, and nothing is kept of it."""
    gc.collect()
    before = len(gc.get_objects())
    for number in range(300):
        assert Caller(client).get(f"/no-{number}/recipe/session/user", userId="u").status_code == 400
    gc.collect()
    assert len(gc.get_objects()) - before < 3000


# -- settings of an app ------------------------------------------------------------------------------------------------

APP, TENANT = "/recipe/multitenancy/app/v2", "/recipe/multitenancy/tenant/v2"
ACCESS, REFRESH = "access_token_validity", "refresh_token_validity"
KEYS = "access_token_dynamic_signing_key_update_interval"


def a_shop(core: Caller, store: Store, *keys: SigningKey, **config: Any) -> Caller:
    """An app of the core with a ``coreConfig``; its keys are made already, since that takes a while."""
    for key in keys:
        there = frozenset(known.kid for known in store.of_app("shop").keys())
        store.of_app("shop").swap_keys(there, key, frozenset())
    assert core.put(APP, appId="shop", coreConfig=config).json == {"status": "OK", "createdNew": True}
    return Caller(core._client, base="/appid-shop")


def validity_of(created: dict[str, Any], name: str) -> int:
    return int(created[name]["expiry"] - created[name]["createdTime"])


def test_an_app_s_own_lifetimes_hold_in_its_tenants_and_in_no_other_app(
    core: Caller, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """Seconds and minutes, in its tenants too; the core's other apps have the core's."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: "0.5"})
    shop.put(TENANT, tenantId="t2")
    created = shop.create()
    refreshed = shop.refresh(created["refreshToken"]["token"])
    for tokens in (created, refreshed, shop.create("/t2/recipe/session")):
        assert [validity_of(tokens, name) for name in ("accessToken", "refreshToken")] == [2000, 30_000]
    assert [validity_of(core.create(), name) for name in ("accessToken", "refreshToken")] == [
        ACCESS_LIFETIME,
        REFRESH_LIFETIME,
    ]


def test_tokens_and_sessions_of_an_app_end_with_its_own_lifetimes(
    core: Caller, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The access token is to be refreshed, later the session is over."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: 0.5})
    created = shop.create()
    clock.wait(2000)
    assert shop.verify(created["accessToken"]["token"])["status"] == "TRY_REFRESH_TOKEN"
    refreshed = shop.refresh(created["refreshToken"]["token"])
    clock.wait(30_000)
    assert shop.refresh(refreshed["refreshToken"]["token"])["status"] == "UNAUTHORISED"


def test_an_app_s_race_window_ends_before_its_access_tokens_do(
    core: Caller, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """A client that refreshes when its access token has expired gets two new tokens, and who comes after it with the old one is a
    thief."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 3})
    first = shop.create()
    child = shop.refresh(first["refreshToken"]["token"])
    assert shop.verify(child["accessToken"]["token"])["status"] == "OK"
    clock.wait(3000)
    following = shop.refresh(child["refreshToken"]["token"])
    assert following["refreshToken"]["token"] != child["refreshToken"]["token"]
    assert shop.refresh(first["refreshToken"]["token"])["status"] == "TOKEN_THEFT_DETECTED"


@pytest.mark.parametrize("stored", ['{"refresh_token_validity": 0.5}', '{"of_a_later_release": 1}'])
def test_sessions_go_on_with_the_core_s_settings_where_an_app_s_no_longer_fit(
    client: FlaskClient, store: Store, caplog: pytest.LogCaptureFixture, stored: str
) -> None:
    """They were taken by another core, or before this one's changed: sessions go on with the core's, and the log says so."""
    assert store.of_app("shop").swap_config(None, stored)
    store.of_app("shop").add_tenant("public")
    shop = Caller(client, base="/appid-shop")
    assert validity_of(shop.create(), "refreshToken") == REFRESH_LIFETIME
    assert "The coreConfig of app 'shop' is not used" in caplog.text


def test_what_was_read_before_a_change_of_settings_does_not_take_its_place(
    clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """What was read before it does not take its place."""
    store = MemoryStore()
    core, shop = a_core(store, clock, *keys_of_a_core), store.of_app("shop")
    read = shop.config

    def read_late() -> str | None:
        found = read()
        shop.config = read  # type: ignore[method-assign]
        core.update_config("shop", {ACCESS: 7})
        return found

    shop.config = read_late  # type: ignore[method-assign]
    store.of_app = lambda _: shop  # type: ignore[method-assign]
    created = core.engine_of("shop").create(a_session())
    assert created.access.claims["exp"] - created.access.claims["iat"] == 7


def test_an_app_that_changes_its_keys_often_has_a_new_one_and_publishes_both(
    core: Caller, store: Store, clock: Clock
) -> None:
    """The next session has a new key at once; what the old one signed is good, and both are published."""
    shop = a_shop(core, store, **{KEYS: "0.001"})
    old = shop.create()
    clock.wait(3600)
    new = shop.create()
    assert kid_of(old) != kid_of(new)
    assert {kid_of(old), kid_of(new)} < {key["kid"] for key in shop.get("/.well-known/jwks.json").json["keys"]}
    assert [shop.verify(tokens["accessToken"]["token"])["status"] for tokens in (old, new)] == ["OK", "OK"]


def test_the_keys_of_an_app_are_made_when_it_is_added(core: Caller, store: Store) -> None:
    """Made when it is added: the first call for them need not wait."""
    a_shop(core, store)
    assert {key.kid[0] for key in store.of_app("shop").keys()} == {"d", "s"}


def test_another_put_replaces_the_settings_it_names_and_sessions_go_on(
    core: Caller, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """By another PUT: what it names is replaced, null brings back the core's, the rest stays; sessions go on."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, REFRESH: 0.5})
    created = shop.create()
    assert core.put(APP, appId="Shop", coreConfig={ACCESS: 5, REFRESH: None}).json["createdNew"] is False
    refreshed = shop.refresh(created["refreshToken"]["token"])
    assert [validity_of(refreshed, name) for name in ("accessToken", "refreshToken")] == [5000, REFRESH_LIFETIME]
    assert shop.put(TENANT, tenantId="public", coreConfig={ACCESS: 7}).status_code == 200
    for nothing in ({}, {"coreConfig": {}}, {"coreConfig": None}):
        assert core.put(APP, appId="shop", **nothing).status_code == 200
        assert validity_of(shop.create(), "accessToken") == 7000


def test_the_settings_of_an_app_are_told_as_given_by_its_public_tenant(
    core: Caller, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """As they were given, by its public tenant; another tenant has none of its own, and no log-in methods."""
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 2, KEYS: "0.001"})
    shop.put(TENANT, tenantId="t2")
    told = {
        "status": "OK",
        "tenantId": "public",
        "thirdParty": {"providers": []},
        "coreConfig": {ACCESS: 2, KEYS: "0.001"},
    }
    assert shop.get(TENANT).json == shop.get(f"/public{TENANT}").json == told
    other = {**told, "tenantId": "t2", "coreConfig": {}, "firstFactors": []}
    assert shop.get(f"/t2{TENANT}").json == other
    assert core.get(TENANT).json == {**told, "coreConfig": {}}


@pytest.mark.parametrize("path", [f"/none{TENANT}", f"/appid-none{TENANT}", f"/appid-none/none{TENANT}"])
def test_the_settings_of_nobody_are_those_of_no_such_tenant(plain: FlaskClient, path: str) -> None:
    """SDKs read this as *there is no such tenant*."""
    response = Caller(plain).get(path)
    assert (response.status_code, response.json) == (200, {"status": "TENANT_NOT_FOUND_ERROR"})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({ACCESS: "abc"}, f"'{ACCESS}' must be a whole number"),
        ({ACCESS: 0}, f"'{ACCESS}' must be a whole number"),
        ({REFRESH: True}, f"'{REFRESH}' must be a number"),
        ({KEYS: 0}, f"'{KEYS}' must be a number"),
        ({REFRESH: 1}, f"'{REFRESH}' must be longer"),
        ({"postgresql_connection_uri": "x", ACCESS: 2}, "'postgresql_connection_uri' is not supported"),
    ],
)
def test_wrong_settings_of_an_app_are_refused_and_nothing_changes(
    core: Caller, config: dict[str, Any], said: str
) -> None:
    """400 names what is wrong; no app is added, and one that is there stays as it is."""
    response = core.put(APP, appId="shop", coreConfig=config)
    assert (response.status_code, response.text.startswith("Invalid core config: ")) == (400, True)
    assert said in response.text
    assert core.get(f"/appid-shop{TENANT}").json == {"status": "TENANT_NOT_FOUND_ERROR"}


def test_settings_of_the_core_or_of_a_tenant_cannot_be_changed(
    core: Caller, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """Those of the core are in its environment, and a tenant has the app's."""
    shop = a_shop(core, store, *keys_of_a_core)
    for response, said in (
        (core.put(APP, appId="public", coreConfig={ACCESS: 2}), "environment"),
        (core.put(TENANT, tenantId="public", coreConfig={ACCESS: 2}), "environment"),
        (core.put(TENANT, tenantId="t2", coreConfig={ACCESS: 2}), f"'{ACCESS}' is the same for all tenants of an app"),
        (shop.put(TENANT, tenantId="t2", coreConfig={ACCESS: 2}), f"'{ACCESS}' is the same for all tenants of an app"),
    ):
        assert (response.status_code, said in response.text) == (400, True)
    assert core.get(f"/t2{TENANT}").json == {"status": "TENANT_NOT_FOUND_ERROR"}
    assert validity_of(core.create(), "accessToken") == ACCESS_LIFETIME


def test_the_other_process_follows_an_app_s_settings_within_30_seconds(
    core: Caller, store: Store, clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The other one has its settings from the first call on, and a change of them within 30 seconds."""
    other = Caller(make_core_app(a_core(store, clock)).test_client(), base="/appid-shop")
    a_shop(core, store, *keys_of_a_core, **{ACCESS: 2})
    assert validity_of(other.create(), "accessToken") == 2000
    core.put(APP, appId="shop", coreConfig={ACCESS: 3})
    clock.wait(RELOAD_EVERY)
    assert validity_of(other.create(), "accessToken") == 3000


def test_known_settings_of_an_app_hold_while_they_cannot_be_read(
    broken: tuple[BrokenStore, Caller], clock: Clock, keys_of_a_core: list[SigningKey]
) -> None:
    """The known ones go on: what needs no store passes, as without settings."""
    store, core = broken
    shop = a_shop(core, store, *keys_of_a_core, **{ACCESS: 60})
    token = shop.create()["accessToken"]["token"]
    store.of_app("shop").down = store.down = True  # type: ignore[attr-defined]
    clock.wait(RELOAD_EVERY)
    assert shop.verify(token)["status"] == "OK"
    assert core.put(APP, appId="shop", coreConfig={ACCESS: 3}).status_code == 503


def test_an_app_has_its_settings_after_a_restart(tmp_path: pathlib.Path) -> None:
    """They are in the database."""
    with CoreProcess(sqlite_uri(tmp_path)) as core:
        added = requests.put(f"{core.uri}{APP}", json={"appId": "shop", "coreConfig": {ACCESS: 2}}, timeout=30)
        assert added.json() == {"status": "OK", "createdNew": True}
        core.stop()
        core.start()
        created = requests.post(f"{core.uri}/appid-shop/recipe/session", json=NEW, timeout=10).json()
        assert validity_of(created, "accessToken") == 2000


def test_only_some_of_many_apps_stay_in_memory_and_all_are_as_they_were(
    core: Caller, store: Store, keys_of_a_core: list[SigningKey]
) -> None:
    """A bounded number of them is kept in memory; the others are as they were when they are asked again."""
    served = a_core(store, Clock())
    for number in range(MAX_APPS + 10):
        store.of_app(f"a{number}").add_tenant("public")
        served.engine_of(f"a{number}")
    assert len(served._apps) == MAX_APPS
    assert served.engine_of("a0").store.tenants() == {"public"}
