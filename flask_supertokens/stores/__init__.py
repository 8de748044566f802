"""Where the embedded engine keeps sessions and signing keys."""
