"""The figures that matter most as a picture: bars in an SVG that follows the reader's light or dark mode."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from . import least, protected, sdk
from .figures import Results

WIDTH, LABELS, VALUES, ROW = 760, 270, 80, 26
_PANELS = (
    (
        "protected",
        "What protection adds to a request, µs (shorter is better)",
        {
            protected.SEEN: "flask-supertokens, token seen before",
            protected.FIRST: "flask-supertokens, first sight",
            "check_database, SQLite": "flask-supertokens, check_database",
            "Flask-Login": "Flask-Login",
            "Flask-JWT-Extended HS256": "Flask-JWT-Extended, HS256",
            "Flask-JWT-Extended ES256": "Flask-JWT-Extended, ES256",
            "Flask-JWT-Extended RS256": "Flask-JWT-Extended, RS256",
            sdk.NAME: "supertokens-python",
            "Flask-Security, SQLite": "Flask-Security, SQLite",
            "Flask-Session, files": "Flask-Session, files",
        },
    ),
    (
        "servers",
        "Protected requests a second under gunicorn, one worker (longer is better)",
        {
            "plain Flask": "plain Flask, unprotected",
            "flask-supertokens": "flask-supertokens",
            "Flask-Login": "Flask-Login",
            "Flask-JWT-Extended HS256": "Flask-JWT-Extended, HS256",
            "Flask-JWT-Extended ES256": "Flask-JWT-Extended, ES256",
            "Flask-JWT-Extended RS256": "Flask-JWT-Extended, RS256",
            sdk.NAME: "supertokens-python",
            "Flask-Security, SQLite": "Flask-Security, SQLite",
            "Flask-Session, files": "Flask-Session, files",
        },
    ),
    (
        "least",
        "A refresh, µs (shorter is better)",
        {
            least.SQL: "SELECT; UPDATE; COMMIT, signature",
            least.EMBEDDED: "flask-supertokens on SQLite",
            least.BARE_HTTP: "bare HTTP call to a core",
            least.REMOTE: "flask-supertokens on a core",
        },
    ),
)
_STYLE = """
  .card { fill: #ffffff; stroke: #d8dce2 }
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-weight: 600 }
  .other { fill: #a9b4c2 }
  .ours { fill: #e0701b }
  @media (prefers-color-scheme: dark) {
    .card { fill: #16191d; stroke: #32383f }
    text { fill: #e3e7ec }
    .other { fill: #5c6875 }
    .ours { fill: #f0883e }
  }
"""


def draw_svg(results: Results) -> str:
    """A panel for each table that was measured."""
    body, top = [], 16
    for part, title, names in _PANELS:
        known = results[part].figures if part in results else {}
        bars = [(label, known[name]) for name, label in names.items() if name in known]
        if bars:
            body += [f'<text class="title" x="20" y="{top + 16}">{escape(title)}</text>', *_draw_bars(bars, top + 30)]
            top += 30 + ROW * len(bars) + 18
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img">'
    card = f'<rect class="card" x="0.5" y="0.5" width="{WIDTH - 1}" height="{top - 1}" rx="8"/>'
    return "\n".join([head, "<title>Benchmarks</title>", f"<style>{_STYLE}</style>", card, *body, "</svg>", ""])


def _draw_bars(bars: list[tuple[str, float]], top: int) -> Iterator[str]:
    longest = max(value for _, value in bars)
    for number, (label, value) in enumerate(bars):
        y, length = top + ROW * number, max(1, value / longest * (WIDTH - LABELS - VALUES))
        kind = "ours" if label.startswith("flask-supertokens") else "other"
        yield f'<text x="{LABELS - 8}" y="{y + 15}" text-anchor="end">{escape(label)}</text>'
        yield f'<rect class="{kind}" x="{LABELS}" y="{y + 2}" width="{length:.1f}" height="{ROW - 8}" rx="3"/>'
        yield f'<text x="{LABELS + length + 6:.1f}" y="{y + 15}">{value:,.0f}</text>'
