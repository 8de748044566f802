"""Signals for what happens to sessions (blinker). The sender is the app; the arguments never hold tokens.

``token_theft_detected`` is sent at least once for a theft: again, if the process died or the session could not be revoked.

===========================  ==========================================================
signal                       arguments
===========================  ==========================================================
``session_created``          ``user_id``, ``session_handle``
``session_refreshed``        ``user_id``, ``session_handle``
``session_confirmed``        ``user_id``, ``session_handle``: first use after a refresh
``session_revoked``          ``session_handle``
``refresh_raced``            ``user_id``, ``session_handle``: accepted within the race window
``token_theft_detected``     ``user_id``, ``session_handle``: before the revoke
===========================  ==========================================================
"""

from __future__ import annotations

import blinker

_signals = blinker.Namespace()

session_created: blinker.NamedSignal = _signals.signal("session-created")
session_refreshed: blinker.NamedSignal = _signals.signal("session-refreshed")
session_confirmed: blinker.NamedSignal = _signals.signal("session-confirmed")
session_revoked: blinker.NamedSignal = _signals.signal("session-revoked")
refresh_raced: blinker.NamedSignal = _signals.signal("refresh-raced")
token_theft_detected: blinker.NamedSignal = _signals.signal("token-theft-detected")
