"""The engine that runs inside the app: protocol, signatures and a store."""

from .engine import EmbeddedEngine
from .limits import EmbeddedSettings

__all__ = ["EmbeddedEngine", "EmbeddedSettings"]
