"""The test kit that apps use."""
