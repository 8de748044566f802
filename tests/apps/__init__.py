"""`init_app`: settings, databases, hooks, and several apps in one process."""
