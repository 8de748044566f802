"""The script that pages of an app include."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import render_template_string
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from ..support.apps import add, an_app
from ..support.navigating import (
    files_of,
    navigate,
)


@pytest.mark.parametrize(
    ("settings", "element"),
    [
        ({}, '<script src="/supertokens-assets/fetch.js" data-refresh="/refresh"></script>'),
        (
            {"login_url": "/login?a=1&b", "api_base_path": "/auth"},
            '<script src="/auth/supertokens-assets/fetch.js" data-refresh="/auth/session/refresh"'
            ' data-login="/login?a=1&amp;b"></script>',
        ),
    ],
)
def test_one_call_in_a_template_includes_the_script_with_its_paths(settings: dict[str, Any], element: str) -> None:
    """One call in a template writes the element, with the paths that the script needs; the file is there."""
    app = add(an_app(**settings), lambda: render_template_string("{{ supertokens_script() }}"))
    response = navigate(app, "/view")
    assert response.text == element
    assert len(files_of(app, response)) == 1


def test_the_paths_of_the_script_are_below_the_script_root() -> None:
    """All paths are below it."""
    app = add(an_app(login_url="/login"), lambda: render_template_string("{{ supertokens_script() }}"))
    text = Client(DispatcherMiddleware(lambda *_: [], {"/shop": app})).get("/shop/view").text
    assert re.findall('="(.*?)"', text) == ["/shop/supertokens-assets/fetch.js", "/shop/refresh", "/shop/login"]


def test_an_app_without_our_routes_is_told_how_to_include_the_script() -> None:
    """An app that registers the routes itself is told what to write."""
    app = add(an_app(register_routes=False, TESTING=True), lambda: render_template_string("{{ supertokens_script() }}"))
    with pytest.raises(RuntimeError, match="data-refresh"):
        navigate(app, "/view")
