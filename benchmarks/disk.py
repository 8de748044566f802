"""How much an installation brings: a package and everything that it requires, without compiled Python."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from . import peers, sdk
from .figures import Table
from .services import Services

OURS = "flask-supertokens"
Installed = dict[str, Distribution]


def measure(_: Services) -> Table:
    """From what is installed here, and in the SDK's virtual environment."""
    table = Table("Installed size", "MB", notes=peers.describe_missing())
    here = find_installed_packages()
    packages = ["flask", "sqlalchemy", OURS, *sorted({m.package for m in peers.find_installed_makers().values()})]
    for name in packages:
        _add_figure(table, name, here)
    if sdk.PYTHON.exists():
        _add_figure(
            table, sdk.NAME, find_installed_packages(*map(str, sdk.PYTHON.parents[1].glob("lib/*/site-packages")))
        )
    else:
        table.notes.append(sdk.MISSING)
    return table


def find_installed_packages(*path: str) -> Installed:
    """The distributions in these folders, or here."""
    known = distributions(path=list(path)) if path else distributions()
    return {canonicalize_name(one.metadata["Name"]): one for one in known}


def _add_figure(table: Table, name: str, installed: Installed) -> None:
    needed = find_required(canonicalize_name(name), installed)
    size = sum(map(measure_size, (installed[one] for one in needed)))
    table.figures[f"{name}, {len(needed)} packages"] = size / 1e6


def find_required(name: str, installed: Installed, extras: tuple[str, ...] = ()) -> set[str]:
    """A distribution and those that it requires, and so on."""
    needed, waiting = set[str](), [(name, extras)]
    while waiting:
        one, wanted = waiting.pop()
        if one in installed and (one not in needed or wanted):
            needed.add(one)
            waiting += _requirements(installed[one], wanted)
    return needed


def _requirements(distribution: Distribution, extras: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for text in distribution.requires or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield canonicalize_name(requirement.name), tuple(sorted(requirement.extras))


def measure_size(distribution: Distribution) -> int:
    """Bytes of its files; of ours, which may be installed as a link, those of the package."""
    if canonicalize_name(distribution.metadata["Name"]) == OURS:
        package = pathlib.Path(__file__).parents[1] / "flask_supertokens"
        return sum(map(_file_size, package.rglob("*")))
    return sum(_file_size(pathlib.Path(str(file.locate()))) for file in distribution.files or ())


def _file_size(path: pathlib.Path) -> int:
    return path.stat().st_size if path.is_file() and path.suffix != ".pyc" else 0
