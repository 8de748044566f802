"""Claims and validators."""
