"""Signing keys, and the tokens that they sign."""
