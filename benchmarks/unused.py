"""What the extension costs a request that has nothing to do with sessions."""

from __future__ import annotations

from .figures import Table
from .ours import bare_app, jar_of
from .rounds import paired
from .services import Services
from .wsgi import call

DIFFERENCE = "with the extension, over bare Flask"
NOISE = "bare Flask, over bare Flask"


def measure(services: Services) -> Table:
    """Pairs of requests that follow each other; the same pairs without the extension show what the method can see."""
    app, bare, other = services.app(), bare_app(), bare_app()
    jar, pairs = jar_of(app), services.effort.pairs
    figures = {
        DIFFERENCE: paired(lambda: call(bare, "GET", "/plain", jar), lambda: call(app, "GET", "/plain", jar), pairs),
        NOISE: paired(lambda: call(bare, "GET", "/plain", jar), lambda: call(other, "GET", "/plain", jar), pairs),
    }
    return Table("A request without sessions", "µs, median of pairs", figures)
