"""All settings: read and checked once, when the app starts."""
