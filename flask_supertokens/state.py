"""What an application keeps: its settings, its engine, and what it gave us to ask."""

from __future__ import annotations

from collections.abc import Callable

from flask import current_app

from .cookies import CookieWriter
from .engines.base import Engine
from .errors import SuperTokensError
from .hooks import Hooks
from .refusals import RefusalLog
from .settings.keys import Settings

EXTENSION = "supertokens"


class AppState:
    """One application's settings and engine; lives in ``app.extensions["supertokens"]``.

    ``own_endpoints`` says which endpoints are ours, as far as requests came for them. ``note`` deals with an error before it is
    rendered; `note_errors` puts it there.
    """

    def __init__(self, settings: Settings, engine: Engine, hooks: Hooks | None = None) -> None:
        self.settings: Settings = settings
        self.engine: Engine = engine
        self.hooks: Hooks = hooks or Hooks()
        self.cookies: CookieWriter = CookieWriter(settings)
        by_header = settings.token_transfer_method == "header"  # noqa: S105 - a method
        self.refusals: RefusalLog = RefusalLog(
            settings.refresh_path if "refresh" in settings.register_routes and not by_header else None
        )
        self.own_endpoints: dict[str, bool] = {}
        self.note: Callable[[SuperTokensError], None] = lambda _: None


def app_state() -> AppState:
    """Find what `SuperTokens.init_app` made for the current app.

    :raises RuntimeError: no application context, or no `init_app`.
    """
    state: AppState | None = current_app.extensions.get(EXTENSION)
    if state is None:
        raise RuntimeError(
            "This app has no SuperTokens: call SuperTokens(app), or supertokens.init_app(app), at start."
        )
    return state
