"""Who decides about a session: the embedded engine here, or a SuperTokens core elsewhere."""
