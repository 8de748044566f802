"""What the log says of refusals: one line each, with the sentence of the error, never with a token.

* DEBUG: what is usual (an access token has expired). INFO: what a user feels (a refresh was refused). WARNING: another site
  sent it.
* Strangers can cause all of these. Of one kind `LINES_A_MINUTE` are written above DEBUG; the rest goes to DEBUG, and a line
  says so.
* What looks like a proxy that hides the refresh route from browsers is told once, with what fixes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from .errors import CrossSiteRequestError, DuplicateCookiesError, SuperTokensError

logger: logging.Logger = logging.getLogger("flask_supertokens")

LINES_A_MINUTE = 30
EXPIRED_WITHOUT_REFRESH = 20
"""So many requests with expired access tokens, and no refresh among them, are no coincidence."""
FIXES_OF_A_PREFIX = (
    "let it send X-Forwarded-Prefix and use werkzeug's ProxyFix(app.wsgi_app, x_prefix=1), or keep the prefix and set"
    " SUPERTOKENS_API_BASE_PATH."
)
_FIXES = (
    "If a proxy strips a prefix from the path, browsers do not send the refresh cookie, whose path is {path}: "
    f"{FIXES_OF_A_PREFIX} `flask supertokens status --url https://…` checks it."
)


class RefusalLog:
    """Writes the lines of one app.

    :param refresh_path: ``None`` where no browser refreshes here by a cookie.
    :param clock: seconds; for tests.
    """

    def __init__(self, refresh_path: str | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._fixes = _FIXES.format(path=refresh_path)
        self._clock = clock
        self._minutes: dict[tuple[int, str], tuple[int, int]] = {}
        self._expired = 0
        self._has_told = refresh_path is None

    def write(self, error: SuperTokensError, where: str) -> None:
        """One line on a refusal.

        :param where: method and path of the request, or another word on where it happened.
        """
        level = logging.WARNING if isinstance(error, CrossSiteRequestError) else logging.DEBUG
        if isinstance(error, DuplicateCookiesError) and not error.cleared:
            level = logging.ERROR  # only the operator can fix that
        if error.refused_refresh:
            level = max(level, logging.INFO)
        if level > logging.DEBUG and not self.has_room(level, type(error).__name__):
            level = logging.DEBUG
        logger.log(level, "Refused, %s (%s): %s", error.message, where, error.description)

    def has_room(self, level: int, kind: str) -> bool:
        """Whether one more line of this kind may be written in this minute; the last one says that there were more."""
        minute, key = int(self._clock() // 60), (level, kind)
        begun, written = self._minutes.get(key, (minute, 0))
        if begun != minute:
            begun, written = minute, 0
        self._minutes[key] = begun, written + 1
        if written == LINES_A_MINUTE:
            logger.log(
                level, "More refusals of this kind (%s) are logged at level DEBUG for the rest of this minute.", kind
            )
        return written < LINES_A_MINUTE

    def saw_refresh(self, *, only_access_cookie: bool) -> None:
        """A refresh came, with its token or with the access cookie only. One with neither may be anybody's.

        Once one came with its token, a cookie that is missing has expired.
        """
        if only_access_cookie and self._expired >= 0:
            self._tell("A refresh came with the access cookie, but without the refresh cookie.")
        if not only_access_cookie:
            self._expired = -1

    def saw_expired(self) -> None:
        """A request came with an access token that has expired."""
        if self._expired >= 0:
            self._expired += 1
        if self._expired == EXPIRED_WITHOUT_REFRESH:
            self._tell(
                f"{self._expired} requests came with expired access tokens, and no refresh came to this process yet."
            )

    def _tell(self, sentence: str) -> None:
        if not self._has_told:
            self._has_told = True
            logger.warning("%s %s", sentence, self._fixes)
