"""Browsers that navigate: who gets a page instead of JSON, and where a browser may be sent.

* A request that says ``Sec-Fetch-Mode: navigate`` navigates. Without that header (old browsers) it is one that prefers HTML and
  has none of the marks of a script. A script never gets HTML.
* A browser is sent to paths of its own origin only. What is not plainly such a path is nowhere: another host, a scheme, ``//``,
  a backslash (browsers read it as a slash), control characters.
* The script root, below which our paths are, may come from a header. One that is not plainly such a path counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote

_MARKS_OF_SCRIPTS = ("X-Requested-With", "rid", "st-auth-mode", "Authorization")
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
_URL_CHARACTERS = "/?#[]@!$&'()*+,;=:%-._~\\ \t\r\n\0"
"""What is left as it is when other letters are encoded; `is_own_path` refuses some of it then."""
_ROOT = re.compile(r"(/[\w.~!$&'()*+,=:@%-]+)+", re.ASCII)
_DOTS = {".", ".."}
MAX_LENGTH = 4096


def navigates(get_header: Callable[[str], str | None], prefers_html: Callable[[], bool]) -> bool:
    """Tell whether a browser asks for a page to show."""
    mode = get_header("Sec-Fetch-Mode")
    if mode is not None:
        return mode.lower() == "navigate"
    return prefers_html() and all(get_header(name) is None for name in _MARKS_OF_SCRIPTS)


def is_own_path(url: str) -> bool:
    """Tell whether this is a path of this origin, with or without a query."""
    return (
        url.startswith("/")
        and not url.startswith("//")
        and len(url) <= MAX_LENGTH
        and url.isascii()
        and not _FORBIDDEN.search(url)
    )


def own_path(url: str | None) -> str | None:
    """Make a URL the path that a browser may be sent to; ``None`` if it is none."""
    if url is None:
        return None
    plain = url if url.isascii() else quote(url, safe=_URL_CHARACTERS, errors="replace")
    return plain if is_own_path(plain) else None


def plain_root(root: str) -> str:
    """Write a script root as it stands in URLs, without a slash at its end; nothing if it is no plain path of this origin."""
    path = quote(root.rstrip("/"), safe=_URL_CHARACTERS.replace(" ", ""), errors="replace")
    is_plain = _ROOT.fullmatch(path) and len(path) <= MAX_LENGTH and not _DOTS & set(unquote(path).split("/"))
    return path if is_plain else ""


def with_next(path: str, target: str | None) -> str:
    """Add the place to return to, if there is one, to a path."""
    mark = "&" if "?" in path else "?"
    return path if target is None else f"{path}{mark}next={quote(target, safe='/')}"
