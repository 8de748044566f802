"""A store's sessions as this engine sees them: read, listed, and changed by compare-and-swap; the loser reads again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace

from ...errors import GeneralError
from ...protocol.model import Payload, Position, SessionInformation, SessionRecord
from ...protocol.payloads import drop_own_names, merge, parse_json_object, to_json_object
from ...stores.base import Store
from .limits import EmbeddedSettings

ATTEMPTS = 20
PAGE = 1000
"""How many sessions are read at a time."""


def wait_for_others(attempt: int) -> None:
    """Wait before one more attempt, at random, longer each time: that spreads the losers."""
    time.sleep(random.random() * 0.002 * attempt)  # noqa: S311 - guards nothing


def too_busy() -> GeneralError:
    """Make the error of a session that others changed at each attempt."""
    return GeneralError(f"The session was changed by others {ATTEMPTS} times in a row. Try again.")


class Rows:
    """The sessions of one store, by the settings of now."""

    def __init__(self, store: Store, settings: EmbeddedSettings, clock: Callable[[], int]) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock

    def read(self, handle: str) -> SessionRecord | None:
        """Read a session, expired or not."""
        return self._settings.limit_record(self._store.read(handle))

    def read_living(self, handle: str, now: int) -> SessionRecord | None:
        """Read a session; ``None`` if it has ended."""
        record = self.read(handle)
        return None if record is None or record.line.expires_at <= now else record

    def change_payload(
        self, handle: str, change: Callable[[Payload], Payload], check: Callable[[SessionRecord], None]
    ) -> SessionRecord | None:
        """Change the stored payload of a session; the session as it is then, or ``None`` if it has ended.

        :param change: makes the new payload of the stored one; called again for each attempt.
        :param check: raises what speaks against the new one.
        """
        for attempt in range(ATTEMPTS):
            if attempt > 1:
                wait_for_others(attempt)
            record = self.read_living(handle, self._clock())
            if record is None:
                return None
            payload = to_json_object(change(record.content), "access_token_payload")
            new = replace(record, payload=payload)
            check(new)
            if payload == record.payload or self._store.swap_payload(handle, record.payload, payload):
                return new
        raise too_busy()

    def write_data(self, handle: str, text: str) -> bool:
        """Replace the data of a session; ``False`` if it has ended."""
        now = self._clock()
        if self._settings.session_lifetime is not None and self.read_living(handle, now) is None:
            return False
        return self._store.write_data(handle, text, now)

    def merge_data(self, handle: str, update: Payload) -> bool:
        """Merge into the data of a session; ``False`` if it has ended."""
        for attempt in range(ATTEMPTS):
            if attempt > 1:
                wait_for_others(attempt)
            now = self._clock()
            with self._store.turn():
                record = self.read_living(handle, now)
                if record is None:
                    return False
                new = to_json_object(merge(parse_json_object(record.data), update), "session data")
                if new == record.data or self._store.swap_data(handle, record.data, new, now):
                    return True
        raise too_busy()

    def list_living(
        self, user_id: str, tenant_id: str | None, after: Position | None, limit: int | None
    ) -> list[SessionRecord]:
        """List a user's sessions. Those that are too old by the settings of now come first, so the page begins behind them."""
        now, longest = self._clock(), self._settings.session_lifetime
        if longest is not None:
            after = max(after or (0, ""), (now - longest + 1, ""))
        found = map(self._settings.limit_record, self._store.of_user(user_id, tenant_id, now, after, limit))
        return [record for record in found if record is not None]

    def list_handles(self, user_id: str, tenant_id: str | None, after: Position | None, limit: int | None) -> list[str]:
        """List the handles of a user's sessions, a page at a time, so that no more payloads than that are in memory."""
        found: list[str] = []
        while True:
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            page = self.list_living(user_id, tenant_id, after, size)
            found += [record.handle for record in page]
            if len(page) < size or len(found) == limit:
                return found
            after = page[-1].created_at, page[-1].handle


def describe(record: SessionRecord) -> SessionInformation:
    """Tell what is known of a session."""
    return SessionInformation(
        handle=record.handle,
        user_id=record.user_id,
        recipe_user_id=record.recipe_user_id,
        tenant_id=record.tenant_id,
        created_at=record.created_at,
        last_refreshed_at=record.refreshed_at,
        expires_at=record.line.expires_at,
        access_token_payload=drop_own_names(parse_json_object(record.payload)),  # the caller may change it
        session_data=parse_json_object(record.data),
        user_agent=record.user_agent,
        ip=record.ip,
    )
