"""Sessions, verb by verb: create, verify, refresh, sign out, revoke, change, list."""
