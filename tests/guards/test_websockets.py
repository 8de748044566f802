"""A websocket is opened."""

from __future__ import annotations

import pytest

from ..support.apps import an_app, signed_in
from ..support.wire import call, sets_no_tokens

OWN, SITE, EVIL = "http://localhost", "https://www.example.com", "https://evil.com"


@pytest.mark.parametrize("mode", ["NONE", "VIA_CUSTOM_HEADER", "VIA_TOKEN"])
@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"Origin": EVIL}, True),
        ({"Origin": "null"}, True),
        ({"Origin": EVIL, "Sec-Fetch-Site": "same-origin"}, True),
        ({"Origin": OWN}, False),
        ({"Origin": OWN, "Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": SITE}, False),
        ({}, False),
    ],
)
def test_a_websocket_is_judged_by_its_origin_in_every_mode(mode: str, headers: dict[str, str], foreign: bool) -> None:
    """Its ``Origin`` decides in every mode; headers that a page can't send with it are not asked for."""
    app = an_app(anti_csrf=mode, website_domain=SITE)
    access = signed_in(app, anti_csrf=True).access_token
    response = call(app, "GET", "/me", access=access, headers={"Upgrade": "WebSocket", **headers})
    assert response.status_code == (403 if foreign else 200)
    assert sets_no_tokens(response)
