"""The Flask side: decorator, proxy, handlers, frameworks, failures, settings."""

from __future__ import annotations

import logging
import pickle
import warnings
from datetime import timedelta
from typing import Any

import pytest
from flask import Blueprint, Flask, render_template_string
from flask.views import MethodView

import flask_supertokens as st
from flask_supertokens import SuperTokens, create_new_session, current_session, get_session, signals, verify_session
from flask_supertokens.errors import LEAVES, GeneralError, SuperTokensError, TokenTheftError, UnauthorisedError
from flask_supertokens.protocol.model import SessionRecord, SigningKey
from flask_supertokens.settings.reading import read_settings
from flask_supertokens.stores.memory import MemoryStore

from .support.cookies import cleared_cookies, cookie_lines, cookie_values
from .support.names import spelled
from .support.plans import Clock
from .support.served import Serving, a_core
from .support.wire import an_app, ask, log_in

BOTH_COOKIES = {"sAccessToken", "sRefreshToken"}

# -- the decorator -----------------------------------------------------------------------------------------------------


def guarded_views() -> Flask:
    """Every kind of view that can be guarded."""
    app = an_app()

    @app.get("/bare")
    @verify_session
    def bare() -> str:
        return current_session.user_id

    @app.get("/called")
    @verify_session(check_database=True)
    def called() -> str:
        return current_session.user_id

    @app.get("/async")
    @verify_session
    async def in_a_coroutine() -> str:
        return current_session.user_id

    class View(MethodView):
        decorators = (verify_session,)

        def get(self) -> str:
            return current_session.user_id

    app.add_url_rule("/class", view_func=View.as_view("class"))
    blueprint = Blueprint("guarded", __name__)
    blueprint.before_request(verify_session(lambda: None))
    blueprint.get("/before")(lambda: current_session.user_id)
    app.register_blueprint(blueprint)
    return app


@pytest.mark.parametrize("path", ["/bare", "/called", "/async", "/class", "/before"])
def test_a_guarded_view(path: str) -> None:
    """It runs with a session only, whatever kind of view it is."""
    app = guarded_views()
    assert ask(app, "GET", path).status_code == 401
    assert ask(app, "GET", path, f"sAccessToken={log_in(app).access}").text == "user-1"


def test_the_decorator_as_a_before_request_function() -> None:
    """A TypeError that shows the right form."""
    app = an_app(TESTING=True)
    app.before_request(verify_session)
    with pytest.raises(TypeError, match=r"@app.before_request\n    @verify_session"):
        ask(app, "GET", "/maybe")


def test_the_decorator_on_a_class() -> None:
    """A TypeError that shows the right form."""
    with pytest.raises(TypeError, match=r"decorators = \[verify_session\]"):
        verify_session(MethodView)


# -- current_session ---------------------------------------------------------------------------------------------------


def test_no_session() -> None:
    """The proxy is falsy, and any attribute is a RuntimeError that names the decorator."""
    app = an_app()
    assert not current_session
    with app.test_request_context():
        assert not current_session
        with pytest.raises(RuntimeError, match="@verify_session"):
            current_session.user_id  # noqa: B018


def test_the_session_in_a_template() -> None:
    """It is there, verified or not, and unset by a revoke."""
    app = an_app()
    page = "{% if current_session %}{{ current_session.user_id }}{% else %}nobody{% endif %}"

    @app.get("/page")
    def in_page() -> str:
        get_session(session_required=False)
        return render_template_string(page)

    @app.get("/leave")
    @verify_session
    def leave() -> str:
        current_session.revoke()
        assert get_session(session_required=False) is None
        return render_template_string(page)

    cookies = f"sAccessToken={log_in(app).access}"
    assert [ask(app, "GET", "/page").text, ask(app, "GET", "/page", cookies).text] == ["nobody", "user-1"]
    assert ask(app, "GET", "/leave", cookies).text == "nobody"


def test_the_payload_is_a_copy() -> None:
    """Changing what one was handed changes nothing."""
    with an_app().test_request_context("/", method="POST"):
        mine = {"roles": ["admin"]}
        session = create_new_session("user-1", mine)
        mine["roles"] = session.access_token_payload["roles"].append("root")
        assert session.access_token_payload["roles"] == ["admin"]


# -- create ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "user_id", ["", "x" * 256, "a\0b", "\ud800", 5, None], ids=["empty", "long", "NUL", "surrogate", "int", "None"]
)
def test_a_user_id_that_can_not_be_kept(user_id: Any) -> None:
    """A ValueError, and no session."""
    app = an_app()
    with app.test_request_context("/", method="POST"):
        with pytest.raises(ValueError, match="user_id"):
            create_new_session(user_id)
        assert not current_session


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "RS256"])
@pytest.mark.parametrize("user_id", ["用" * 255, "🙂" * 255, "ü'\"; -- " * 31, "a b"])
def test_a_user_id_of_any_script(user_id: str, algorithm: str) -> None:
    """255 characters fit a cookie session with every algorithm."""
    app = an_app(SUPERTOKENS_ACCESS_TOKEN_ALGORITHM=algorithm)
    app.post("/as")(lambda: {"handle": create_new_session(user_id).handle})
    cookies = cookie_values(ask(app, "POST", "/as"))
    assert all(len(name) + len(value) <= 4096 for name, value in cookies.items())
    assert ask(app, "GET", "/me", f"sAccessToken={cookies['sAccessToken']}").json == {
        "user": user_id,
        "method": "cookie",
    }
    assert ask(app, "POST", "/refresh", f"sRefreshToken={cookies['sRefreshToken']}").status_code == 200


@pytest.mark.parametrize("case", ["valid", "expired", "refresh", "keep"])
def test_a_session_that_the_log_in_finds(case: str) -> None:
    """A valid or refreshable one ends (fixation), and an expired one of the same user."""
    clock = Clock()
    app = an_app(clock=clock)
    app.post("/keep")(lambda: {"handle": create_new_session("user-1", keep_existing=True).handle})
    old = log_in(app)
    clock.wait(7_200_000 if case == "expired" else 0)
    jar = f"sRefreshToken={old.refresh}" if case == "refresh" else f"sAccessToken={old.access}"
    ask(app, "POST", "/keep" if case == "keep" else "/login", jar)
    with app.app_context():
        lives = st.get_session_information(old.handle) is not None
    assert lives == (case == "keep")


def test_a_log_in_twice_in_one_request() -> None:
    """The first session ends, one pair of cookies leaves."""
    app = an_app()

    @app.post("/twice")
    def twice() -> dict[str, str]:
        return {"first": create_new_session("u1").handle, "second": create_new_session("u2").handle}

    response = ask(app, "POST", "/twice")
    assert [line.name for line in cookie_lines(response)] == ["sAccessToken", "sRefreshToken"]
    with app.app_context():
        assert st.get_session_information(response.json["first"]) is None
        assert st.get_session_information(response.json["second"]) is not None


def test_a_session_that_ends_with_the_browser() -> None:
    """No Expires at the log-in, nor after a refresh."""
    app = an_app()
    app.post("/short")(lambda: {"handle": create_new_session("u", remember=False).handle})
    response = ask(app, "POST", "/short")
    again = ask(app, "POST", "/refresh", f"sRefreshToken={cookie_values(response)['sRefreshToken']}")
    assert not any(line.expires for line in cookie_lines(response) + cookie_lines(again))


def test_a_payload_that_would_not_fit_a_cookie() -> None:
    """A ValueError with bytes and limit at creation and at a merge; the old state stays, and nothing is half sent."""
    app = an_app()

    @app.post("/large")
    @verify_session
    def large() -> str:
        with pytest.raises(ValueError, match=r"[0-9]{4} bytes; a cookie holds 40[0-9]{2}"):
            current_session.merge_into_access_token_payload({"x": "a" * 4000})
        with pytest.raises(ValueError, match="bytes"):
            st.merge_into_access_token_payload(current_session.handle, {"x": "a" * 4000})
        return ""

    tokens = log_in(app)
    response = ask(app, "POST", "/large", f"sAccessToken={tokens.access}")
    assert (response.status_code, cookie_lines(response)) == (200, [])
    with app.app_context():
        information = st.get_session_information(tokens.handle)
        assert information is not None
        assert "x" not in information.access_token_payload
        with pytest.raises(ValueError, match="bytes"):
            st.create_new_session_without_request("u", {"x": "a" * 4000})


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}, "\ud800", b"x"], ids=spelled)
def test_a_payload_that_is_no_json(value: Any) -> None:
    """A ValueError that says which argument."""
    with an_app().app_context(), pytest.raises(ValueError, match="access_token_payload must be JSON"):
        st.create_new_session_without_request("u", {"x": value})


def test_a_payload_with_nested_nulls_and_big_integers() -> None:
    """It survives the store and the token; ``None`` deletes a key in a merge."""
    payload = {"a": {"b": None, "c": [None, 2**70]}, "n": None}
    with an_app().app_context():
        session = st.create_new_session_without_request("u", payload)
        session.merge_into_access_token_payload({"n": None, "d": 1})
        again = st.get_session_without_request(session.tokens.access_token).access_token_payload
    assert (again["a"], again["d"], "n" in again) == (payload["a"], 1, False)


def test_functions_by_handle_leave_the_response_alone() -> None:
    """Also for one's own session; the session's methods change both."""
    app = an_app()

    @app.post("/handle")
    @verify_session
    def by_handle() -> Any:
        st.merge_into_access_token_payload(current_session.handle, {"x": 1})
        st.replace_session_data(current_session.handle, {"cart": [1]})
        return current_session.get_data()

    @app.post("/method")
    @verify_session
    def by_method() -> Any:
        current_session.merge_into_access_token_payload({"x": 2})
        return {"x": current_session.access_token_payload["x"]}

    cookies = f"sAccessToken={log_in(app).access}"
    response = ask(app, "POST", "/handle", cookies)
    assert (response.json, cookie_lines(response)) == ({"cart": [1]}, [])
    response = ask(app, "POST", "/method", cookies)
    assert (response.json, set(cookie_values(response))) == ({"x": 2}, {"sAccessToken"})


# -- handlers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after", "blueprint"])
def test_a_handler_of_the_apps_own(when: str) -> None:
    """It decides the looks; the tokens are cleared all the same."""
    app = Flask("own")
    app.config.update(SECRET_KEY="x", SUPERTOKENS_COOKIE_SECURE=False)
    place: Any = Blueprint("place", __name__) if when == "blueprint" else app
    if when == "after":
        SuperTokens(app, store=MemoryStore())
    place.errorhandler(UnauthorisedError)(lambda error: ("mine", 418))

    @place.get("/fail")
    def fail() -> str:
        raise UnauthorisedError("out")

    if when == "blueprint":
        app.register_blueprint(place)
    if when != "after":
        SuperTokens(app, store=MemoryStore())
    response = ask(app, "GET", "/fail")
    assert (response.status_code, response.text, cleared_cookies(response)) == (418, "mine", BOTH_COOKIES)


def test_handlers_for_something_else() -> None:
    """Those for 401 and for Exception do not replace the defaults."""
    app = an_app()
    app.register_error_handler(401, lambda error: ("other", 418))
    app.register_error_handler(Exception, lambda error: ("other", 418))
    assert ask(app, "GET", "/me").json == {"message": "unauthorised"}


@pytest.mark.parametrize(("clear", "cleared"), [(None, BOTH_COOKIES), (True, BOTH_COOKIES), (False, set())])
def test_unauthorised_raised_by_the_app(clear: bool | None, cleared: set[str]) -> None:
    """It clears the tokens unless told not to."""
    app = an_app()

    @app.get("/fail")
    def fail() -> str:
        raise UnauthorisedError(clear_tokens=clear)

    assert cleared_cookies(ask(app, "GET", "/fail")) == cleared


def test_a_theft_with_a_handler_that_forgets_it(caplog: pytest.LogCaptureFixture) -> None:
    """The session is revoked, the tokens are cleared, whatever the handler answers; signal and log name both."""
    clock, told = Clock(), []
    app = an_app(clock=clock)
    app.register_error_handler(TokenTheftError, lambda error: ("welcome", 200))
    tokens = log_in(app)
    child = cookie_values(ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}"))
    ask(app, "GET", "/me", f"sAccessToken={child['sAccessToken']}")
    clock.wait(60_000)
    with signals.token_theft_detected.connected_to(lambda sender, **about: told.append((sender, about)), app):
        response = ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
    assert (response.text, cleared_cookies(response)) == ("welcome", BOTH_COOKIES)
    assert told == [(app, {"user_id": "user-1", "session_handle": tokens.handle})]
    assert tokens.handle in caplog.text
    assert ask(app, "POST", "/refresh", f"sRefreshToken={child['sRefreshToken']}").json == {"message": "unauthorised"}


def test_a_theft_that_the_app_found() -> None:
    """Raised with a handle it ends that session."""
    app = an_app()

    @app.post("/report/<handle>")
    def report(handle: str) -> str:
        raise TokenTheftError(user_id="user-1", session_handle=handle)

    tokens = log_in(app)
    assert ask(app, "POST", f"/report/{tokens.handle}").json == {"message": "token theft detected"}
    assert ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").json == {"message": "unauthorised"}


def restful_app() -> Flask:
    from flask_restful import Api, Resource

    app = an_app()
    api = Api(app)

    class Guarded(Resource):
        method_decorators = (verify_session,)

        def get(self) -> dict[str, str]:
            return {"user": current_session.user_id}

    class Failing(Resource):
        def get(self) -> None:
            raise UnauthorisedError

    api.add_resource(Guarded, "/guarded")
    api.add_resource(Failing, "/failing")
    return app


def restx_app() -> Flask:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from flask_restx import Api, Resource

    app = an_app()
    api = Api(app)

    class Guarded(Resource):
        method_decorators = (verify_session,)

        def get(self) -> dict[str, str]:
            return {"user": current_session.user_id}

    class Failing(Resource):
        def get(self) -> None:
            raise UnauthorisedError

    api.add_resource(Guarded, "/guarded")
    api.add_resource(Failing, "/failing")
    return app


def smorest_app() -> Flask:
    from flask_smorest import Api
    from flask_smorest import Blueprint as SmorestBlueprint

    app = an_app(API_TITLE="t", API_VERSION="1", OPENAPI_VERSION="3.0.3")
    blueprint = SmorestBlueprint("b", __name__)
    blueprint.route("/guarded")(verify_session(lambda: {"user": current_session.user_id}))

    @blueprint.route("/failing")
    def failing() -> None:
        raise UnauthorisedError

    Api(app).register_blueprint(blueprint)
    return app


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the frameworks themselves
@pytest.mark.parametrize("make", [restful_app, restx_app, smorest_app])
def test_frameworks_that_handle_errors_themselves(make: Any) -> None:
    """Status, body and clearing are right there too."""
    app = make()
    assert ask(app, "GET", "/guarded").json == {"message": "unauthorised"}
    assert ask(app, "GET", "/guarded").status_code == 401
    assert ask(app, "GET", "/guarded", f"sAccessToken={log_in(app).access}").json == {"user": "user-1"}
    response = ask(app, "GET", "/failing")
    assert (response.status_code, response.json, cleared_cookies(response)) == (
        401,
        {"message": "unauthorised"},
        BOTH_COOKIES,
    )


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.__name__)
def test_errors_pickle(leaf: type[SuperTokensError]) -> None:
    """With all they carry, inside an app and outside."""
    with an_app(SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440).app_context():
        error = leaf("why")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), vars(again)) == (leaf, vars(error))
    assert again.get_body() == error.get_body()


# -- failures ----------------------------------------------------------------------------------------------------------


class BrokenStore(MemoryStore):
    """A store that can be down."""

    down = False

    def read(self, handle: str) -> SessionRecord | None:
        if self.down:
            raise GeneralError("The database is down.")
        return super().read(handle)


@pytest.mark.parametrize("path", ["/checked", "/optional", "/refresh"])
def test_a_store_that_is_down(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """503, logged once, cookies untouched, nobody anonymous; the next request works when it is back."""
    store = BrokenStore()
    app = an_app(store)
    checked, optional = verify_session(check_database=True), verify_session(session_required=False, check_database=True)
    app.add_url_rule("/checked", "checked", checked(lambda: "ok"), methods=["POST"])
    app.add_url_rule("/optional", "optional", optional(lambda: "ok"), methods=["POST"])
    tokens = log_in(app)
    jar = f"sAccessToken={tokens.access}; sRefreshToken={tokens.refresh}"
    store.down = True
    response = ask(app, "POST", path, jar)
    assert (response.status_code, response.json) == (503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    assert cookie_lines(response) == []
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == [
        "The database is down."
    ]
    store.down = False
    assert ask(app, "POST", path, jar).status_code == 200


@pytest.mark.parametrize(
    ("base", "path", "said"),
    [
        ("", "/shops", "has no tenant 't9' in its app 'public'"),
        ("/appid-shop", "/login", "has no app 'shop'"),
        ("/appid-shop", "/refresh", "has no app 'shop'"),
    ],
)
def test_a_core_has_no_such_tenant(
    core_server: Serving,
    keys_of_a_core: list[SigningKey],
    caplog: pytest.LogCaptureFixture,
    base: str,
    path: str,
    said: str,
) -> None:
    """500, since to try again is no use; cookies untouched, and the log says what is to be corrected."""
    uri, put = core_server
    put(a_core(MemoryStore(), Clock(), *keys_of_a_core))
    right, wrong = (an_app_on_a_core(uri + below) for below in ("", base))
    tokens = log_in(right)
    response = ask(wrong, "POST", path, f"sRefreshToken={tokens.refresh}")
    assert (response.status_code, response.json) == (500, {"message": "service unavailable"})
    assert ("Retry-After" in response.headers, cookie_lines(response)) == (False, [])
    [logged] = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert f"The core at {uri}{base} {said}. Add it there, or correct" in logged
    assert ask(right, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 200


def an_app_on_a_core(uri: str) -> Flask:
    app = Flask("app")
    app.config.update(SUPERTOKENS_COOKIE_SECURE=False, SUPERTOKENS_CONNECTION_URI=uri)
    SuperTokens(app)
    app.add_url_rule("/login", "login", lambda: {"handle": create_new_session("user-1").handle}, methods=["POST"])
    shops = lambda: {"handle": create_new_session("user-1", tenant_id="t9").handle}  # noqa: E731 - a view
    app.add_url_rule("/shops", "shops", shops, methods=["POST"])
    return app


def test_a_view_in_the_usual_case_when_the_store_is_down() -> None:
    """It needs no store."""
    store = BrokenStore()
    app = an_app(store)
    tokens = log_in(app)
    store.down = True
    assert ask(app, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_no_token_is_ever_logged_or_signalled(caplog: pytest.LogCaptureFixture) -> None:
    """A whole life, with a theft, and every record, repr and argument searched for every token."""
    caplog.set_level(logging.DEBUG)
    clock, seen = Clock(), []
    app = an_app(clock=clock)
    for name in vars(signals):
        if hasattr(getattr(signals, name), "connect") and not name.startswith("_"):
            getattr(signals, name).connect(lambda sender, **about: seen.append(repr(about)), app, weak=False)
    tokens = log_in(app)
    child = cookie_values(ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}"))
    ask(app, "GET", "/me", f"sAccessToken={child['sAccessToken']}")
    with app.test_request_context("/", headers={"Cookie": f"sAccessToken={child['sAccessToken']}"}):
        session = get_session()
        assert session is not None
        seen += [repr(session), repr(session.tokens), repr(vars(session))]
    clock.wait(60_000)
    ask(app, "POST", "/refresh", f"sRefreshToken={tokens.refresh}")
    everything = caplog.text + "".join(seen)
    secrets = [tokens.access, tokens.refresh, *child.values()]
    assert len(seen) >= 7
    assert not [secret for secret in secrets if secret in everything or secret.split(".")[-1] in everything]


def test_without_the_extension() -> None:
    """A RuntimeError that says what to call."""
    with Flask("bare").test_request_context(), pytest.raises(RuntimeError, match="init_app"):
        get_session()


# -- start -------------------------------------------------------------------------------------------------------------


def test_init_app_twice() -> None:
    """The second call is refused, and says which of the two to leave out."""
    app = an_app()
    with pytest.raises(RuntimeError, match="once"):
        SuperTokens(app)


def test_a_corrected_retry() -> None:
    """An app whose settings were wrong is left as it was: all mistakes in one text, then it starts."""
    app = Flask("retry")
    app.config.update(SUPERTOKENS_REFESH_PATH="/r", SUPERTOKENS_COOKIE_SECURE="maybe", SUPERTOKENS_LOGIN_URL="//evil")
    extension = SuperTokens(store=MemoryStore())
    with pytest.raises(ValueError, match="can't start") as caught:
        extension.init_app(app)
    for part in (
        "SECRET_KEY is missing",
        "Did you mean SUPERTOKENS_REFRESH_PATH",
        "use True or False",
        "name of an endpoint",
    ):
        assert part in str(caught.value)
    app.config.clear()
    app.config.update(Flask("fresh").config, SECRET_KEY="x")
    extension.init_app(app)
    assert ask(app, "POST", "/refresh").status_code == 401


def test_the_names_of_the_older_sdk() -> None:
    """Accepted, with a warning that names the new key."""
    with pytest.warns(DeprecationWarning, match="SUPERTOKENS_REFRESH_PATH"):
        settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_REFRESH_TOKEN_PATH": "/r"})
    assert settings.refresh_path == "/r"


@pytest.mark.parametrize(
    ("api", "website", "same_site", "anti_csrf"),
    [
        ("https://api.example.com", "https://example.com", "lax", "NONE"),
        ("https://api.example.com", "https://other.com", "none", "VIA_CUSTOM_HEADER"),
        ("https://a.co.uk", "https://b.co.uk", "none", "VIA_CUSTOM_HEADER"),
        ("https://api.example.com", "http://example.com", "none", "VIA_CUSTOM_HEADER"),
        ("http://localhost:5000", "http://localhost:3000", "lax", "NONE"),
        (None, "https://example.com", "lax", "NONE"),
    ],
)
def test_same_site_and_anti_csrf_from_the_domains(
    api: str | None, website: str, same_site: str, anti_csrf: str
) -> None:
    """Computed once, at start, from the registrable domains and schemes."""
    settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_API_DOMAIN": api, "SUPERTOKENS_WEBSITE_DOMAIN": website})
    assert (settings.cookie_same_site, settings.anti_csrf) == (same_site, anti_csrf)


@pytest.mark.parametrize("lifetime", [600, 600.0, timedelta(minutes=10)])
def test_lifetimes(lifetime: Any) -> None:
    """Seconds or a timedelta; the window ends before the access token."""
    settings = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": lifetime})
    assert (settings.access_token_lifetime, settings.race_window) == (600_000, 30_000)
    short = read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": 5})
    assert short.race_window < short.access_token_lifetime == 5_000


@pytest.mark.parametrize("lifetime", [0, -1, "60 s", True, 0.5, float("nan"), float("inf")])
def test_lifetimes_that_are_none(lifetime: Any) -> None:
    """Refused, with the mend in the text."""
    with pytest.raises(ValueError, match=r"SUPERTOKENS_ACCESS_TOKEN_LIFETIME = .*: use"):
        read_settings({"SECRET_KEY": "x", "SUPERTOKENS_ACCESS_TOKEN_LIFETIME": lifetime})


@pytest.mark.parametrize("uri", ["mysql+aiomysql://h/d", "mssql://h/d", "oracle://h/d", "nonsense", 5])
def test_databases_that_are_not_built(uri: Any) -> None:
    """Refused at start, and the text does not repeat the URL, which may hold a password."""
    with pytest.raises(ValueError, match="SUPERTOKENS_DATABASE_URI: ") as caught:
        read_settings({"SECRET_KEY": "x", "SUPERTOKENS_DATABASE_URI": uri})
    assert str(uri) not in str(caught.value).replace("5432", "")


def test_two_apps_in_one_process() -> None:
    """They do not know each other: one's tokens open nothing in the other."""
    one, other = an_app(), an_app(SECRET_KEY="another secret", SUPERTOKENS_SESSION_EXPIRED_STATUS_CODE=440)
    tokens = log_in(one)
    assert ask(other, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 440
    assert ask(other, "POST", "/refresh", f"sRefreshToken={tokens.refresh}").status_code == 440
    assert ask(one, "GET", "/me", f"sAccessToken={tokens.access}").status_code == 200


def test_init_db(tmp_path: Any) -> None:
    """The command makes the tables where the app may not."""
    app = Flask("db", instance_path=str(tmp_path))
    app.config.update(SECRET_KEY="x", SUPERTOKENS_CREATE_TABLES=False, SUPERTOKENS_COOKIE_SECURE=False)
    SuperTokens(app)
    app.post("/login")(lambda: {"handle": create_new_session("u").handle})
    (tmp_path / "x").write_text("")
    assert ask(app, "POST", "/login").status_code == 503
    result = app.test_cli_runner().invoke(args=["supertokens", "init-db"])
    assert (result.exit_code, result.output) == (0, "The session tables are there.\n")
    assert ask(app, "POST", "/login").status_code == 200
    app.extensions["supertokens"].engine.store._engine.dispose()
