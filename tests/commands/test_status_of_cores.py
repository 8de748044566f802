"""``flask supertokens status`` of an app on cores."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.core.serving import make_core_app
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import an_app, build_app
from ..support.both import serve
from ..support.commands import run, told
from ..support.older_core import older_core
from ..support.plans import Clock
from ..support.served import a_core, of_versions, serving

KEY = "the-right-one-that-is-long-enough"


def test_status_finds_a_wrong_api_key_of_a_core() -> None:
    """A core says hello to anyone."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=("the right one, long enough",))) as (uri, _):
        app = Flask("cli")
        app.config.update(SUPERTOKENS_CONNECTION_URI=uri, SUPERTOKENS_API_KEY="a-wrong-one-that-is-long-enough")
        SuperTokens(app)
        assert run(app, "status").exit_code == 1


def test_status_tells_the_two_kinds_of_api_keys_apart_and_shows_none() -> None:
    """What an app sends to its cores, and what it accepts as a core: each by its setting, and no key is shown."""
    sent, accepted = (
        "key sent to the cores (SUPERTOKENS_API_KEY)",
        "keys accepted as a core (SUPERTOKENS_CORE_API_KEYS)",
    )
    apps = [
        an_app(MemoryStore()),
        an_app(MemoryStore(), SUPERTOKENS_CORE_API_KEYS=[KEY, KEY[::-1]]),
        an_app_on(["http://localhost:1"]),
        an_app_on(["http://localhost:1"], None),
    ]
    texts = [run(app, "status", "--json").output for app in apps]
    facts = [json.loads(text)["facts"] for text in texts]
    assert [(one.get(sent), one.get(accepted)) for one in facts] == [
        (None, "none"),
        (None, 2),
        ("set", None),
        ("not set", None),
    ]
    assert not any(KEY in text for text in texts)


def an_app_on(uris: list[str], api_key: str | None = KEY, **settings: Any) -> Flask:
    return build_app(connection_uri=";".join(uris), api_key=api_key, **settings)


def test_health_is_503_with_a_wrong_api_key() -> None:
    """Not 200: no session could be verified. With the right one it is."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=(KEY,))) as (uri, _):
        wrong = an_app_on([uri], "a-wrong-one-that-is-long-enough", SUPERTOKENS_HEALTH_PATH="/health")
        right = an_app_on([uri], SUPERTOKENS_HEALTH_PATH="/health")
        assert [app.test_client().get("/health").status_code for app in (wrong, right)] == [503, 200]


def test_status_names_the_base_path_where_the_core_has_no_such_app() -> None:
    """The base path is named; and that it is no use to try again. Health is not 200."""
    with serving(a_core(MemoryStore(), Clock(), api_keys=(KEY,))) as (uri, _):
        app = an_app_on([f"{uri}/appid-shop"], SUPERTOKENS_HEALTH_PATH="/health")
        [finding] = told(app, "status")["findings"]
        assert f"The core at {uri}/appid-shop has no app 'shop'." in finding
        assert (
            "the base path in SUPERTOKENS_CONNECTION_URI. Until that is fixed, requests with sessions get status 500."
            in finding
        )
        response = app.test_client().get("/health")
        assert (response.status_code, "Retry-After" in response.headers) == (500, False)


def a_core_of(*versions: str) -> Flask:
    """A core that speaks these versions only."""
    return of_versions(a_core(MemoryStore(), Clock(), api_keys=(KEY,)), *versions)


def test_status_names_each_of_several_cores_that_fails() -> None:
    """Each is asked, and each that fails is named with its reason, though the others respond."""
    other = make_core_app(a_core(MemoryStore(), Clock(), api_keys=("another-key-of-a-core",)))
    with serve(a_core_of("5.4")) as good, serve(other) as other_key, serve(older_core()) as old:
        findings = told(an_app_on([good, other_key, old, "http://localhost:1"]), "status")["findings"]
        assert not any(good in finding for finding in findings)
        for uri, said in (
            (other_key, "refuses the API key"),
            (old, "speaks CDI 2.3"),
            ("http://localhost:1", "refused"),
        ):
            assert any(uri in finding and said in finding for finding in findings), findings


def test_status_hints_at_two_cores_that_speak_different_versions() -> None:
    """Each is good by itself; together they are named by a hint, since no call fails by that."""
    with serve(a_core_of("5.0")) as one, serve(a_core_of("5.1")) as other, serve(a_core_of("5.1", "5.0")) as third:
        mixed, same = (told(an_app_on(uris), "status") for uris in ([one, other], [other, third]))
    assert (mixed["findings"], same["findings"]) == ([], [])
    [hint] = [hint for hint in mixed["hints"] if "different versions" in hint]
    assert (f"{one}: 5.0" in hint, f"{other}: 5.1" in hint) == (True, True)
    assert not any("different versions" in hint for hint in same["hints"])
