"""`verify_session`: where it stands, and what it lets through."""
