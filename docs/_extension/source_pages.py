"""Links to files of the package lead to pages that show them; one whose words name something in a file, to its definition."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.pycode import ModuleAnalyzer

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flask_supertokens"


def page_of(path: Path) -> str:
    return f"source/{path.relative_to(ROOT).with_suffix('').as_posix()}"


def definitions(path: Path) -> dict[str, int]:
    """What a file defines, by name, and the line where it begins."""
    tags = ModuleAnalyzer.for_string(path.read_text("utf-8"), page_of(path)).find_tags()
    return {name: start for name, (_, start, _) in tags.items()}


def lead_to_pages(app: Any, doctree: nodes.document) -> None:
    """Sphinx takes a link to a file for a download; this comes first."""
    for link in list(doctree.findall(addnodes.download_reference)):
        path = (Path(app.srcdir) / app.env.docname).parent.joinpath(link["reftarget"]).resolve()
        if not path.is_relative_to(PACKAGE) or path.suffix != ".py":
            continue
        words = link.astext()
        named = [name for name in definitions(path) if words == name or words.endswith(f".{name}")]
        anchor = f"#{max(named, key=len)}" if named else ""
        target = app.builder.get_relative_uri(app.env.docname, page_of(path)) + anchor
        link.replace_self(nodes.reference("", "", *link.children, internal=True, refuri=target))


def pages(app: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """A page for each file, with a place to go to before each definition."""
    for path in sorted(PACKAGE.rglob("*.py")):
        shown = app.builder.highlighter.highlight_block(path.read_text("utf-8"), "python")
        head, mark, body = shown.partition("<pre>")
        lines = body.split("\n")
        for name, start in definitions(path).items():
            lines[start - 1] = f'<span id="{name}"></span>{lines[start - 1]}'
        title = path.relative_to(PACKAGE).as_posix()
        text = f"<h1>{title}</h1>{head}{mark}{chr(10).join(lines)}"
        yield page_of(path), {"title": title, "body": text}, "page.html"


def setup(app: Any) -> dict[str, bool]:
    app.connect("doctree-read", lead_to_pages, priority=400)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True}
