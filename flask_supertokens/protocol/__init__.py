"""The session protocol as pure functions: see README.md in this folder."""
