"""A SuperTokens core without Java: the embedded engine spoken over CDI, as far as sessions go."""
