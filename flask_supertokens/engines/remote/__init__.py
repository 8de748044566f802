"""The engine that is a SuperTokens core elsewhere."""
