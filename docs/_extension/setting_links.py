"""Makes a link to *Configuration* of every ```SUPERTOKENS_…``` in the text; a key that is not there is a warning."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

from flask_supertokens.config import RENAMED

KEY = re.compile(r"(SUPERTOKENS_[A-Z_]*[A-Z]|SECRET_KEY(_FALLBACKS)?)\b")


class LinkSettings(SphinxTransform):
    """Literals that begin with a key; not in headings, not inside of other links."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            found = KEY.match(literal.astext())
            if (
                found
                and found[1] not in RENAMED
                and not _stands_in(literal, nodes.title, nodes.reference, addnodes.pending_xref)
            ):
                literal.replace_self(self._link(literal, found[1]))

    def _link(self, literal: nodes.literal, key: str) -> addnodes.pending_xref:
        where = {"refdomain": "std", "reftype": "confval", "reftarget": key, "refexplicit": True, "refwarn": True}
        return addnodes.pending_xref(literal.rawsource, literal.deepcopy(), refdoc=self.env.docname, **where)


def _stands_in(node: nodes.Node, *kinds: type[nodes.Node]) -> bool:
    while node.parent is not None:
        node = node.parent
        if isinstance(node, kinds):
            return True
    return False


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_transform(LinkSettings)
    return {"parallel_read_safe": True}
