"""``flask supertokens`` with keys: rotated, sealed again, ended, and what status says meanwhile."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_supertokens import SuperTokens
from flask_supertokens.core.apps import make_core
from flask_supertokens.stores.memory import MemoryStore

from ..support.apps import SECRET, an_app, clock_of, signed_in
from ..support.commands import created, run, told
from ..support.cookies import set_cookies
from ..support.engines import an_engine, keys_of
from ..support.plans import HOUR, Clock
from ..support.records import kids_of
from ..support.wire import call


def test_rotate_keys_publishes_a_new_key_and_keeps_the_old_one(app: Flask) -> None:
    """A new one is published at once; the old one stays."""
    created(app)
    before = {key.kid for key in keys_of(app.extensions["supertokens"].engine)}
    kid = told(app, "rotate-keys", "--yes")["kid"]
    assert {key.kid for key in keys_of(app.extensions["supertokens"].engine)} == {*before, kid}
    assert run(app, "rotate-keys", input="n\n").exit_code == 1


def test_rotate_keys_of_an_own_engine_asks_for_no_secret_key() -> None:
    """The engine has them, so the app's SECRET_KEY is not asked for."""
    app = Flask("cli")
    SuperTokens(app, session_engine=an_engine(MemoryStore(), Clock()))
    kid = told(app, "rotate-keys", "--yes")["kid"]
    assert kids_of(keys_of(app.extensions["supertokens"].engine)) == [kid]
    assert told(app, "rotate-keys", "--reseal", "--yes") == {"resealed": []}


def with_old_secret(store: MemoryStore) -> Flask:
    """The app with its SECRET_KEY replaced, and the one from before as a fallback."""
    return an_app(store, SECRET_KEY="a new secret of the tests", SECRET_KEY_FALLBACKS=[SECRET])


def without_old_secret(store: MemoryStore) -> Flask:
    return an_app(store, SECRET_KEY="a new secret of the tests")


def test_keys_sealed_again_survive_the_end_of_the_fallback() -> None:
    """Status asks for it as long as a key ends with the fallback; without the fallback they then are what they were."""
    store = MemoryStore()
    created(an_app(store))
    an_app(store).extensions["supertokens"].engine.upkeep.make_keys()
    kids = sorted(kids_of(store.keys()))
    app = with_old_secret(store)
    before = told(app, "status")
    assert ([kid in before["hints"][0] for kid in kids], before["findings"]) == ([True, True], [])
    assert "rotate-keys --reseal" in before["hints"][0]
    assert run(app, "rotate-keys", "--reseal", input="n\n").exit_code == 1
    assert [told(app, "rotate-keys", "--reseal", "--yes") for _ in range(2)] == [{"resealed": kids}, {"resealed": []}]
    for later in (app, without_old_secret(store)):
        status = told(later, "status")
        assert [status["facts"]["keys"].split(", "), status["hints"], status["findings"]] == [
            kids,
            before["hints"][1:],
            [],
        ]


NEW = "a new secret of the tests"


STEPS = [(SECRET, [NEW], 0), (NEW, [SECRET], 2), (NEW, [SECRET], 0), (NEW, [], 0), (NEW, [], 0)]
"""As the page on operations says: given as a fallback, swapped, sealed again, taken away, and weeks later. The hints of each."""


def test_status_finds_nothing_while_the_secret_key_is_replaced_step_by_step() -> None:
    """Status finds nothing at any step, with a key of either kind; it hints from the swap until they are sealed again."""
    store, now = MemoryStore(), Clock()
    for number, (secret, fallbacks, hints) in enumerate(STEPS):
        app = an_app(store, SECRET_KEY=secret, SECRET_KEY_FALLBACKS=fallbacks)
        app.extensions["supertokens"].engine.clock = now
        app.extensions["supertokens"].engine.upkeep.make_keys()
        if number == STEPS.index((NEW, [SECRET], 0)):
            told(app, "rotate-keys", "--reseal", "--yes")
        created(app)
        status = told(app, "status")
        assert status["findings"] == [], number
        assert sum(kid in hint for hint in status["hints"] for kid in kids_of(store.keys())) == hints, number
        now.wait(HOUR if number < len(STEPS) - 2 else 21 * 24 * HOUR)


@pytest.mark.parametrize("weeks", [0, 2])
def test_status_says_nothing_when_the_fallback_goes_after_a_day(weeks: int) -> None:
    """A day after the new keys were made nobody holds what the old ones signed: status says nothing, then and weeks later."""
    store, now = MemoryStore(), Clock()
    for secret in (SECRET, NEW):
        app = an_app(store, SECRET_KEY=secret)
        app.extensions["supertokens"].engine.clock = now
        app.extensions["supertokens"].engine.upkeep.make_keys()
        created(app)
    now.wait((1 + 7 * weeks) * 24 * HOUR)
    assert told(app, "status")["findings"] == []


def test_status_names_the_keys_that_ended_when_the_fallback_goes_too_early() -> None:
    """Status says which keys ended, until others have taken over for longer than a token lives."""
    store = MemoryStore()
    created(an_app(store))
    [kid] = kids_of(store.keys())
    app = without_old_secret(store)
    assert [kid in finding for finding in told(app, "status")["findings"]] == [True]
    created(app)
    assert [kid in finding for finding in told(app, "status")["findings"]] == [True]
    clock_of(app).wait(3 * HOUR)
    assert told(app, "status")["findings"] == []


def test_nothing_is_left_of_a_leaked_secret_key_after_all_old_keys_ended() -> None:
    """With a new one and all old keys ended nothing is left of it, in the table, in what is published, and in status."""
    store = MemoryStore()
    for before in (an_app(store), without_old_secret(store)):
        before.extensions["supertokens"].engine.upkeep.make_keys()
    app, old = without_old_secret(store), sorted(kids_of(store.keys()))
    done = told(app, "rotate-keys", "--revoke-old", "--yes")
    assert (done["ended"], len(old)) == (old, 4)
    assert kids_of(store.keys()) == done["kids"]
    assert told(app, "status")["findings"] == []
    output = run(app, "rotate-keys", "--revoke-old", "--yes").output
    assert all(said in output for said in ("Nobody has to log in", "JWTs of create_jwt end", "within 30 s"))


def test_ending_old_keys_while_the_app_runs_makes_clients_refresh() -> None:
    """Access tokens are to be refreshed and refresh tokens go on."""
    store = MemoryStore()
    app = an_app(store)
    tokens = signed_in(app)
    told(app, "rotate-keys", "--revoke-old", "--yes")
    refused = call(app, "GET", "/me", access=tokens.access_token)
    assert (refused.status_code, refused.json) == (401, {"message": "try refresh token"})
    answer = call(app, "POST", "/refresh", refresh=tokens.refresh_token)
    assert call(app, "GET", "/me", access=set_cookies(answer)["sAccessToken"].value).status_code == 200


def test_ending_old_keys_leaves_a_new_one_to_an_app_and_to_its_core() -> None:
    """Each has a new one of its algorithm, and no old one is left."""
    store = MemoryStore()
    app = an_app(store)
    with app.app_context():
        core = make_core(app.extensions["supertokens"], needs_api_keys=False).engine_of("public")
    for engine in (app.extensions["supertokens"].engine, core):
        engine.upkeep.make_keys()
    kids = told(app, "rotate-keys", "--revoke-old", "--yes")["kids"]
    assert {key.kid: key.algorithm for key in store.keys()} == dict(zip(kids, ["ES256", "RS256"], strict=True))


def test_keys_of_another_app_of_a_core_are_named_by_the_app() -> None:
    """They are named by the app; an app that is not there is told so."""
    store = MemoryStore()
    app = an_app(store)
    store.of_app("other").add_tenant("public")
    [kid] = told(app, "rotate-keys", "--app", "other", "--yes")["kids"]
    assert (kids_of(store.keys()), kids_of(store.of_app("other").keys())) == ([], [kid])
    assert told(with_old_secret(store), "rotate-keys", "--app", "other", "--reseal", "--yes") == {"resealed": [kid]}
    assert "no app third" in run(app, "rotate-keys", "--app", "third", "--yes").output


def test_sealing_old_keys_and_ending_them_at_once_is_refused(app: Flask) -> None:
    """One of the two."""
    assert run(app, "rotate-keys", "--reseal", "--revoke-old", "--yes").exit_code == 2
