"""Where `verify_session` and `cross_origin` stand, and who tells that it is the wrong place."""

from __future__ import annotations

import functools
import gc
import logging
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView
from flask_cors import CORS, cross_origin

from flask_supertokens import verify_session
from flask_supertokens.guards import find_misplaced_decorators

from ..support.apps import an_app, signed_in
from ..support.wire import call

PREFLIGHT = {"Origin": "https://www.example.com", "Access-Control-Request-Method": "POST"}
POST = {"methods": ["POST"]}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def status(app: Flask) -> str:
    return app.test_cli_runner().invoke(args=["supertokens", "status"]).output


def view() -> str:
    return "in"


def fresh() -> Callable[[], str]:
    """A function that nobody has decorated yet."""
    return lambda: "in"


# -- the session -------------------------------------------------------------------------------------------------------


def above_the_route(app: Flask) -> None:
    @verify_session
    @app.get("/view")
    def view() -> str:
        return "in"


def above_the_route_of_a_blueprint(app: Flask) -> None:
    pages = Blueprint("pages", __name__)

    @verify_session(check_database=True)
    @pages.get("/view")
    async def view() -> str:
        return "in"

    app.register_blueprint(pages)


def above_the_route_of_a_decorated_view(app: Flask) -> None:
    def shouting(function: Callable[[], str]) -> Callable[[], str]:
        return functools.wraps(function)(lambda: function().upper())

    @verify_session
    @app.get("/view")
    @shouting
    def view() -> str:
        return "in"


WRONG = [above_the_route, above_the_route_of_a_blueprint, above_the_route_of_a_decorated_view]


@pytest.mark.parametrize("wrong", WRONG)
def test_verify_session_above_the_route_is_told_once_by_log_and_status(
    wrong: Callable[[Flask], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It protects nothing: the first request's log says so, once, and so does ``status``. Who else holds the view is all one."""
    app = an_app()
    wrong(app)
    gc.collect()
    assert [call(app, "GET", "/view").status_code for _ in range(2)] == [200, 200]
    (warning,) = warnings(caplog)
    assert "view' runs without a session: @verify_session stands above its route" in warning
    assert warning in status(app)


def on_two_routes(app: Flask) -> None:
    both = fresh()
    app.add_url_rule("/view", "view", verify_session(both))
    app.add_url_rule("/open", "open", both)


def below_another_decorator(app: Flask) -> None:
    hidden = verify_session(fresh())
    app.add_url_rule("/view", "view", functools.wraps(view)(lambda *_: hidden()))


def on_a_method(app: Flask) -> None:
    class Page(MethodView):
        @verify_session
        def get(self) -> str:
            return "in"

    app.add_url_rule("/view", view_func=Page.as_view("view"))


def twice(app: Flask) -> None:
    verify_session(app.get("/view")(verify_session(fresh())))


def before_requests(app: Flask) -> None:
    app.before_request(verify_session(lambda: None))
    app.add_url_rule("/view", "view", fresh())


@pytest.mark.parametrize("right", [on_two_routes, below_another_decorator, on_a_method, twice, before_requests])
def test_verify_session_that_protects_is_not_told(
    right: Callable[[Flask], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is said, also where a function is served without a session on purpose."""
    app = an_app()
    right(app)
    assert call(app, "GET", "/view").status_code == 401
    assert call(app, "GET", "/view", access=signed_in(app).access_token).text == "in"
    assert (warnings(caplog), list(find_misplaced_decorators(app))) == ([], [])


def test_each_app_s_first_request_tells_of_its_own_views_only(caplog: pytest.LogCaptureFixture) -> None:
    """The one app's first request tells nothing of the other."""
    right, wrong = an_app(), an_app()
    above_the_route(wrong)
    call(right, "GET", "/me")
    assert warnings(caplog) == []
    call(wrong, "GET", "/me")
    assert len(warnings(caplog)) == 1


def test_views_that_are_no_functions_are_left_alone_where_they_cannot_be_told_apart() -> None:
    """What can't be told apart is left alone; a chain without end, too."""
    app, endless = an_app(), fresh()
    endless.__wrapped__ = endless  # type: ignore[attr-defined]
    app.add_url_rule("/endless", "endless", endless)
    app.add_url_rule("/partial", "partial", verify_session(functools.partial(view)))
    app.add_url_rule("/bound", "bound", [].__len__)  # type: ignore[arg-type]
    assert list(find_misplaced_decorators(app)) == []
    assert call(app, "GET", "/partial").status_code == 401


# -- CORS --------------------------------------------------------------------------------------------------------------


def is_allowed(app: Flask, method: str = "OPTIONS", **request: Any) -> bool:
    """Whether the response lets another origin read it, or go on after a preflight."""
    return "Access-Control-Allow-Origin" in call(app, method, "/view", headers=PREFLIGHT, **request).headers


@pytest.mark.parametrize("methods", [["POST"], ["POST", "OPTIONS"]])
def test_cross_origin_above_answers_preflights_and_adds_its_headers(
    methods: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It answers preflights; responses have its headers."""
    app = an_app()
    app.add_url_rule("/view", "view", cross_origin()(verify_session(fresh())), methods=methods)
    assert is_allowed(app)
    assert is_allowed(app, "POST", bearer=signed_in(app).access_token)
    assert (warnings(caplog), list(find_misplaced_decorators(app))) == ([], [])


def test_cross_origin_above_that_leaves_options_adds_its_headers_to_our_response() -> None:
    """Our response to OPTIONS gets its headers."""
    app = an_app()
    wrapped = cross_origin(automatic_options=False)(verify_session(fresh()))
    app.add_url_rule("/view", "view", wrapped, methods=["POST", "OPTIONS"])
    assert is_allowed(app)


@pytest.mark.parametrize("methods", [["POST"], ["POST", "OPTIONS"]])
def test_cross_origin_below_is_told_once_by_log_and_status(
    methods: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """It is not asked for preflights: the log says so once, and so does ``status``."""
    app = an_app()
    app.add_url_rule("/view", "view", verify_session(cross_origin()(fresh())), methods=methods)
    assert [is_allowed(app) for _ in range(2)] == [False, False]
    (warning,) = warnings(caplog)
    assert "The view 'view' has @cross_origin below @verify_session" in warning
    assert warning in status(app)


class Listed(MethodView):
    methods: ClassVar = ["POST", "OPTIONS"]
    provide_automatic_options = False

    def post(self) -> str:
        return "in"


@pytest.mark.parametrize(("ours_first", "told"), [(True, 0), (False, 1)])
def test_cross_origin_in_a_list_counts_by_its_place_in_it(ours_first: bool, told: int) -> None:
    """The last of a list is the uppermost."""
    both: list[Any] = [verify_session, cross_origin()]
    listed = type("Listed", (Listed,), {"decorators": both if ours_first else both[::-1]})
    app = an_app()
    app.add_url_rule("/view", view_func=listed.as_view("view"))
    assert (is_allowed(app), len(list(find_misplaced_decorators(app)))) == (not told, told)


def test_cross_origin_below_an_optional_session_is_not_told() -> None:
    """The view runs for OPTIONS, and with it `cross_origin`: nothing is wrong."""
    app = an_app()
    app.add_url_rule("/view", "view", verify_session(session_required=False)(cross_origin()(fresh())), **POST)
    assert (is_allowed(app), list(find_misplaced_decorators(app))) == (True, [])


@pytest.mark.parametrize("guarded", [True, False])
@pytest.mark.parametrize("methods", [["POST"], ["POST", "OPTIONS"]])
def test_cors_of_the_whole_app_adds_its_headers_to_preflights_and_refusals(methods: list[str], guarded: bool) -> None:
    """Whoever answers the preflight, Flask-CORS adds its headers; refusals have them too."""
    app = an_app()
    CORS(app)
    if guarded:
        app.before_request(verify_session(lambda: None))
    app.add_url_rule("/view", "view", fresh() if guarded else verify_session(fresh()), methods=methods)
    assert (is_allowed(app), is_allowed(app, "POST")) == (True, True)
    assert call(app, "POST", "/view").status_code == 401
