"""Prints the oldest versions that the package allows, as constraints for pip: ``>=`` becomes ``==``."""

from __future__ import annotations

import configparser
import pathlib
from collections.abc import Iterator

EXTRAS = ("postgresql", "mariadb", "core", "serve")
"""The extras that users install; versions of development tools do not matter."""
NEIGHBOURS = ("flask-jwt-extended==4.7.1",)
"""Neighbours in the tests whose newer versions import what the oldest PyJWT does not have, though they allow it."""


def find_oldest(setup_cfg: pathlib.Path) -> Iterator[str]:
    """Yield a constraint for each requirement that names a lowest version, and those of neighbours."""
    setup = configparser.ConfigParser()
    setup.read(setup_cfg)
    lists = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in EXTRAS)]
    for line in "\n".join(lists).split():
        name, found, version = line.partition(">=")
        if found:
            yield f"{name.partition('[')[0]}=={version}"
    yield from NEIGHBOURS


if __name__ == "__main__":
    print("\n".join(find_oldest(pathlib.Path(__file__).parents[1] / "setup.cfg")))
