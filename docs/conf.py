"""How Sphinx builds the site: ``make docs``. No font, script or inventory is fetched: the site works without a network."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_extension"))

project = "flask-supertokens"
copyright = "the authors of flask-supertokens"
version = release = installed_version("flask-supertokens")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "rotation_diagrams",
]
exclude_patterns = ["_extension"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# -- the API, from docstrings ------------------------------------------------------------------------------------------

default_role = "any"  # `name` in a docstring
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_class_signature = "separated"
nitpicky = True
nitpick_ignore_regex = [  # names of others, whose sites are not asked; and types that are for type checkers only
    ("py:class", r"(datetime|collections\.abc|flask|werkzeug|sqlalchemy|requests)\..*"),
    ("py:class", r"(flask_supertokens\.[\w.]+\.)?([A-Z]|MaxAge|DatabaseEngine)"),
    ("py:class", r"flask_supertokens\.protocol\.model\.AccessToken"),
    ("any", r"requests\.PreparedRequest"),
]

# -- looks -------------------------------------------------------------------------------------------------------------

html_theme = "furo"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b57d0",
        "color-brand-content": "#0b57d0",
        "color-api-name": "#0b57d0",
        "color-api-pre-name": "#0b57d0",
    },
    "dark_css_variables": {
        "color-brand-primary": "#8ab4f8",
        "color-brand-content": "#8ab4f8",
        "color-api-name": "#8ab4f8",
        "color-api-pre-name": "#8ab4f8",
    },
}
