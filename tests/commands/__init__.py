"""The commands of ``flask supertokens``."""
