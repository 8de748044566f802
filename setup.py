"""The description that package indexes show: the README, with links that hold away from its folder. All else is in setup.cfg."""

from __future__ import annotations

import configparser
import pathlib
import re

from setuptools import setup

HERE = pathlib.Path(__file__).parent
SOURCE: str | None = None
"""Where readers find the repository, like ``https://host/owner/flask-supertokens``. To be set when there is such a place."""
RELATIVE_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#)([^)]+)\)")


def description(readme: str, files: str | None) -> str:
    """The README with absolute links; without an address to lead to, with their words only.

    :param files: what a path in the repository is put behind.
    """
    return RELATIVE_LINK.sub(rf"[\1]({files}/\2)" if files else r"\1", readme)


def version() -> str:
    setup_cfg = configparser.ConfigParser()
    setup_cfg.read(HERE / "setup.cfg", "utf-8")
    return setup_cfg["metadata"]["version"]


if __name__ == "__main__":
    setup(
        long_description=description((HERE / "README.md").read_text("utf-8"), SOURCE and f"{SOURCE}/blob/v{version()}"),
        long_description_content_type="text/markdown",
        project_urls={"Source Code": SOURCE, "Changes": f"{SOURCE}/blob/main/CHANGELOG.md"} if SOURCE else {},
    )
