"""A form signs out."""

from __future__ import annotations

import pytest

from flask_supertokens import (
    SessionTokens,
)

from ..support.apps import an_app, handles, signed_in
from ..support.navigating import (
    FIREFOX_88,
    FORM,
    LATE,
    expired,
    submit,
)
from ..support.wire import cleared_methods


def test_a_sign_out_by_form_leads_on_to_next() -> None:
    """The session is over, and the browser goes on to ``next``, which may stand in the query or in the form."""
    app = an_app()
    for path, data in (("/signout?next=/bye%3Fa", {}), ("/signout", {"next": "/bye?a"})):
        response = submit(app, path, signed_in(app), data=data)
        assert (response.status_code, response.headers["Location"]) == (303, "/bye?a")
        assert cleared_methods(response) == {"cookie"}
    assert handles(app) == []


def test_a_sign_out_by_form_with_an_expired_token_refreshes_on_the_way() -> None:
    """By way of the refresh route."""
    app = an_app()
    tokens = expired(app)
    response = submit(app, "/signout?next=/bye", tokens)
    assert (response.status_code, response.headers["Location"]) == (
        307,
        "/refresh?next=/signout%3Fnext%3D/bye&replay=1",
    )


@pytest.mark.parametrize("tokens", [LATE, SessionTokens("garbage", 0, "")])
def test_a_second_sign_out_by_form_leads_on_too(tokens: SessionTokens) -> None:
    """Whoever is signed out already goes on as well."""
    response = submit(an_app(), "/signout?next=/bye", tokens)
    assert response.headers["Location"] == "/bye"
    assert cleared_methods(response) == {"cookie", "header"}


def test_a_sign_out_by_a_form_of_nowhere_leaves_what_the_browser_has() -> None:
    """Nobody vouches for it (its cookies may have been held back), so what the browser has stays."""
    by = {**FIREFOX_88, "Content-Type": FORM["Content-Type"]}
    response = submit(an_app(), "/signout?next=/bye", by=by)
    assert response.headers["Location"] == "/bye"
    assert "Set-Cookie" not in response.headers
