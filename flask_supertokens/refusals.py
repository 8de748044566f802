"""The log lines of refusals: one each, with the sentence of the error, never with a token.

* DEBUG: what is usual (an access token has expired). INFO: what a user notices (a refresh was refused). WARNING: another site
  sent the request.
* Strangers can cause all of these. Of each kind `LINES_A_MINUTE` are written above DEBUG. The rest goes to DEBUG, and one line
  says so.
* One warning says when a proxy seems to hide the refresh route from browsers, and what fixes that.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .errors import CrossSiteRequestError, DuplicateCookiesError, SuperTokensError

logger: logging.Logger = logging.getLogger("flask_supertokens")

LINES_A_MINUTE = 30
EXPIRED_WITHOUT_REFRESH = 20
"""How many requests with expired access tokens, and no refresh among them, are no coincidence."""
PREFIX_FIXES = (
    "let it send X-Forwarded-Prefix and use werkzeug's ProxyFix(app.wsgi_app, x_prefix=1), or keep the prefix and set"
    " SUPERTOKENS_API_BASE_PATH."
)
_FIXES = (
    "If a proxy strips a prefix from the path, browsers do not send the refresh cookie, whose path is {path}: "
    f"{PREFIX_FIXES} `flask supertokens status --url https://…` checks it."
)


class RefusalLog:
    """Writes the log lines of one app.

    :param refresh_path: the path of the refresh cookie; ``None`` if no browser refreshes here by a cookie.
    :param clock: in seconds; for tests.
    """

    def __init__(self, refresh_path: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._fixes = _FIXES.format(path=refresh_path)
        self._clock = clock
        self._lines: dict[tuple[int, str], tuple[int, int]] = {}
        """Of each level and kind: the minute, and how many lines were written in it."""
        self._expired_count = 0
        """How many requests came with expired access tokens before the first refresh."""
        self.has_seen_refresh: bool = False
        """Whether a refresh came with its token. From then on a cookie that is missing has expired, and nothing is warned of."""
        self._has_warned = refresh_path is None

    def write(self, error: SuperTokensError, where: str) -> None:
        """Write one line about a refusal.

        :param where: method and path of the request, or another hint at where it happened.
        """
        level = logging.WARNING if isinstance(error, CrossSiteRequestError) else logging.DEBUG
        if isinstance(error, DuplicateCookiesError) and not error.cleared:
            level = logging.ERROR  # only the operator can fix that
        if error.refused_refresh:
            level = max(level, logging.INFO)
        if level > logging.DEBUG and not self.may_write(level, type(error).__name__):
            level = logging.DEBUG
        logger.log(level, "Refused, %s (%s): %s", error.message, where, error.description)

    def may_write(self, level: int, kind: str) -> bool:
        """Count a line of this kind; return whether it may be written in this minute. The first that may not is announced."""
        minute, key = int(self._clock() // 60), (level, kind)
        counted_minute, written = self._lines.get(key, (minute, 0))
        if counted_minute != minute:
            written = 0
        self._lines[key] = minute, written + 1
        if written == LINES_A_MINUTE:
            logger.log(
                level, "More refusals of this kind (%s) are logged at level DEBUG for the rest of this minute.", kind
            )
        return written < LINES_A_MINUTE

    def note_missing_cookie(self) -> None:
        """Note a refresh that came with the access cookie only. (One with neither cookie may be any client's.)"""
        if not self.has_seen_refresh:
            self._warn_once("A refresh came with the access cookie, but without the refresh cookie.")

    def note_expired_token(self) -> None:
        """Note a request that came with an expired access token."""
        if self.has_seen_refresh:
            return
        self._expired_count += 1
        if self._expired_count == EXPIRED_WITHOUT_REFRESH:
            self._warn_once(
                f"{self._expired_count} requests came with expired access tokens, and no refresh came to this process yet."
            )

    def _warn_once(self, sentence: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("%s %s", sentence, self._fixes)
