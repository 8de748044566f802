"""Rules of the code itself."""
