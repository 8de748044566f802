"""Prints the oldest versions that the package allows, as constraints for pip: ``>=`` becomes ``==``."""

from __future__ import annotations

import configparser
import pathlib
from collections.abc import Iterator

OURS = ("postgresql", "mariadb", "core", "serve")
"""The extras that users install; tools of our own may be as new as they like."""
PEERS = ("flask-jwt-extended==4.7.1",)
"""Neighbours in the tests whose newer versions import what the oldest PyJWT has not, though they say that it will do."""


def oldest(setup_cfg: pathlib.Path) -> Iterator[str]:
    """One constraint for each requirement that names a lowest version."""
    setup = configparser.ConfigParser()
    setup.read(setup_cfg)
    lists = [setup["options"]["install_requires"], *(setup["options.extras_require"][extra] for extra in OURS)]
    for line in "\n".join(lists).split():
        name, found, version = line.partition(">=")
        if found:
            yield f"{name.partition('[')[0]}=={version}"
    yield from PEERS


if __name__ == "__main__":
    print("\n".join(oldest(pathlib.Path(__file__).parents[1] / "setup.cfg")))
