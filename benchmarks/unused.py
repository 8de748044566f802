"""What the extension costs a request that has nothing to do with sessions."""

from __future__ import annotations

from .figures import Table
from .ours import log_in_by_cookie, make_bare_app
from .rounds import compare_pairs
from .services import Services
from .wsgi import call

DIFFERENCE = "with the extension, over bare Flask"
NOISE = "bare Flask, over bare Flask"


def measure(services: Services) -> Table:
    """Pairs of requests that follow each other; the same pairs without the extension show what the method can see."""
    app, bare, other = services.app(), make_bare_app(), make_bare_app()
    jar, pairs = log_in_by_cookie(app), services.effort.pairs
    figures = {
        DIFFERENCE: compare_pairs(
            lambda: call(bare, "GET", "/plain", jar), lambda: call(app, "GET", "/plain", jar), pairs
        ),
        NOISE: compare_pairs(
            lambda: call(bare, "GET", "/plain", jar), lambda: call(other, "GET", "/plain", jar), pairs
        ),
    }
    return Table("A request without sessions", "µs, median of pairs", figures)
