"""What a load balancer asks: health."""

from __future__ import annotations

import pytest
from flask import Flask

from flask_supertokens import GeneralError
from flask_supertokens.sessions import check_health

from ..support.apps import BrokenStore, an_app
from ..support.both import Make
from ..support.wire import assert_response, call, sets_no_tokens


def test_health_is_200_without_a_session_where_all_is_well(make: Make) -> None:
    """200, without a session; the function says nothing."""
    app = make(health_path="/health")
    response = call(app, "GET", "/health", access="garbage")
    assert_response(response, 200, {"status": "OK"})
    assert sets_no_tokens(response)
    with app.app_context():
        assert check_health() is None  # type: ignore[func-returns-value]


def test_there_is_no_health_route_unless_the_settings_name_one(make: Make) -> None:
    """There is no such route unless the settings name one."""
    assert call(make(), "GET", "/health").status_code == 404


def test_health_is_503_while_the_store_is_down_and_well_again_later() -> None:
    """503 with Retry-After; the function raises; later all is well."""
    store = BrokenStore()
    app = an_app(store, health_path="/healthz")
    store.down = True
    response = call(app, "GET", "/healthz")
    assert_response(response, 503, {"message": "service unavailable"})
    assert response.headers["Retry-After"].isdigit()
    with app.app_context(), pytest.raises(GeneralError):
        check_health()
    store.down = False
    assert call(app, "GET", "/healthz").status_code == 200


def test_health_is_503_while_the_core_is_down() -> None:
    """503 as well."""
    app = Flask("app")
    from flask_supertokens import SuperTokens

    app.config.update(SUPERTOKENS_CONNECTION_URI="http://127.0.0.1:9", SUPERTOKENS_HEALTH_PATH="/health")
    SuperTokens(app)
    assert call(app, "GET", "/health").status_code == 503
