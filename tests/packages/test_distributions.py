"""Wheel and source distribution: what is in them, that they can be made again, and a first app in a clean environment."""

from __future__ import annotations

import configparser
import email
import os
import pathlib
import re
import runpy
import subprocess
import sys
import tarfile
import venv
import zipfile

import pytest

from ..support.docs import blocks

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "flask_supertokens"
REQUIRED = {
    "flask",
    "werkzeug",
    "itsdangerous",
    "blinker",
    "click",
    "pyjwt",
    "cryptography",
    "sqlalchemy",
    "requests",
    "urllib3",
}
CHECK = """
client = app.test_client()
assert client.get("/me").status_code == 401
assert client.post("/login", base_url="https://localhost").status_code == 200
assert client.get("/me", base_url="https://localhost").json == {"user": "user-1"}
assert client.post("/refresh", base_url="https://localhost").status_code == 200
"""


def build(source: pathlib.Path, target: pathlib.Path) -> dict[str, pathlib.Path]:
    """Both distributions, by suffix; the wheel is built from the source distribution, as an index would get them."""
    command = [sys.executable, "-m", "build", "--outdir", str(target), str(source)]
    done = subprocess.run(
        command, env={**os.environ, "SOURCE_DATE_EPOCH": "1750000000"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {path.suffix: path for path in target.iterdir()}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pathlib.Path]:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def clean(distributions: dict[str, pathlib.Path], tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The folder of the programs of a new virtual environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, str(distributions[".whl"])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder / "bin"


def test_the_wheel_holds_the_package_only(distributions: dict[str, pathlib.Path]) -> None:
    """All of it, pages, assets and the mark of types included; the file that pytest loads; and nothing else."""
    names = set(zipfile.ZipFile(distributions[".whl"]).namelist())
    ours = {name for name in names if not name.partition("/")[0].endswith(".dist-info")}
    files = {path for path in PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".pyc", ".md")}
    assert ours == {path.relative_to(ROOT).as_posix() for path in files} | {"flask_supertokens_pytest.py"}
    assert "flask_supertokens/py.typed" in ours


def test_pytest_finds_the_plugin_by_the_wheel_s_entry_point(distributions: dict[str, pathlib.Path]) -> None:
    """By the wheel's entry point, which leads to a file outside of the package: that would be imported as a whole."""
    wheel = zipfile.ZipFile(distributions[".whl"])
    [name] = [name for name in wheel.namelist() if name.endswith("/entry_points.txt")]
    points = configparser.ConfigParser()
    points.read_string(wheel.read(name).decode())
    assert dict(points["pytest11"]) == {"flask_supertokens_pytest": "flask_supertokens_pytest"}


@pytest.fixture(scope="module")
def metadata(distributions: dict[str, pathlib.Path]) -> email.message.Message:
    """What the wheel says of itself."""
    wheel = zipfile.ZipFile(distributions[".whl"])
    [name] = [name for name in wheel.namelist() if name.endswith("/METADATA")]
    return email.message_from_bytes(wheel.read(name))


def test_the_wheel_requires_ten_packages_each_with_a_lowest_version(metadata: email.message.Message) -> None:
    """Ten packages, each with a lowest version."""
    required = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {line.partition(">=")[0].lower() for line in required} == REQUIRED
    assert metadata["Requires-Python"] == ">=3.10"


def test_the_metadata_name_each_tested_python_flask_types_and_the_licence(metadata: email.message.Message) -> None:
    """Each tested Python, Flask, types; the licence as an SPDX expression, and its text."""
    listed = metadata.get_all("Classifier", [])
    pythons = [line.rpartition(" ")[2] for line in listed if line.startswith("Programming Language :: Python :: 3.")]
    assert pythons == ["3.10", "3.11", "3.12", "3.13", "3.14"]
    assert {"Framework :: Flask", "Typing :: Typed"} <= set(listed)
    assert (metadata["License-Expression"], metadata["License-File"]) == ("Apache-2.0", "LICENSE")


def test_an_index_takes_it_without_a_warning(distributions: dict[str, pathlib.Path]) -> None:
    """Nothing in it that an index would refuse or warn of."""
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, distributions.values())]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_description_has_no_link_into_a_folder(metadata: email.message.Message) -> None:
    """It is the README; away from its folder a relative link would be broken."""
    text = str(metadata.get_payload())
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert text.startswith("# flask-supertokens")
    assert not [target for target in re.findall(r"\]\(([^)]+)\)", text) if not target.startswith("https://")]
    assert text.count("\n") == (ROOT / "README.md").read_text("utf-8").count("\n")


def test_links_of_the_description_lead_to_the_repository() -> None:
    """Where its address is known; others stay as they are."""
    description = runpy.run_path(str(ROOT / "setup.py"), run_name="not main")["description"]
    text = "[a](docs/a.md), [b](https://b.example), [c](#c)"
    assert description(text, "https://host/blob/v1") == text.replace("docs/", "https://host/blob/v1/docs/")
    assert description(text, None) == text.replace("[a](docs/a.md)", "a")


def test_the_version_is_said_once() -> None:
    """In setup.cfg; code, docs and site ask the installed package."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    texts = [*PACKAGE.rglob("*.py"), *(ROOT / "docs").rglob("*.py"), *ROOT.glob("*.py"), ROOT / "pyproject.toml"]
    assert [path.name for path in texts if setup["metadata"]["version"] in path.read_text("utf-8")] == []


def test_the_source_distribution_builds_the_same(
    distributions: dict[str, pathlib.Path], tmp_path: pathlib.Path
) -> None:
    """Somebody who unpacks it gets the same wheel, to the byte."""
    with tarfile.open(distributions[".gz"]) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # there since 3.10.12 and 3.11.4
        archive.extractall(tmp_path / "source")
    [source] = (tmp_path / "source").iterdir()
    unpacked = {path.name for path in source.iterdir()}
    assert not {"tests", "example_app", "benchmarks", "docs", "tools", "changes", ".github", ".ci"} & unpacked
    again = build(source, tmp_path / "dist")
    assert again[".whl"].read_bytes() == distributions[".whl"].read_bytes()


def test_a_first_app_signs_in_and_refreshes_in_a_clean_environment(clean: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """The README's first example logs in and refreshes; warnings are errors."""
    (tmp_path / "app.py").write_text(blocks((ROOT / "README.md").read_text("utf-8"))[0] + CHECK)
    done = subprocess.run([clean / "python", "-W", "error", "app.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "instance").is_dir()


ON_A_CORE = """
app.config["SUPERTOKENS_CONNECTION_URI"] = "http://127.0.0.1:1"
SuperTokens(app)
"""


def test_a_first_app_on_a_core_needs_one_setting_in_a_clean_environment(
    clean: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    """One setting, nothing else to install: the core is asked, and this one is not there."""
    code = blocks((ROOT / "README.md").read_text("utf-8"))[0].replace("SuperTokens(app)\n", ON_A_CORE)
    check = 'assert app.test_client().post("/login", base_url="https://localhost").status_code == 503'
    (tmp_path / "app.py").write_text(f"{code}\n{check}\n")
    done = subprocess.run([clean / "python", "-W", "error", "app.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_commands_work_in_a_clean_environment(clean: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """`flask supertokens` is there, and makes the tables."""
    (tmp_path / "app.py").write_text(blocks((ROOT / "README.md").read_text("utf-8"))[0])
    command = [clean / "flask", "supertokens", "init-db", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, '{"status": "OK"}\n')


def test_the_docs_give_a_reason_for_each_dependency() -> None:
    """Required ones and extras stand in tables, and no others."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    page = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    required, extras = page.split("| extra | brings")
    told = {name.lower() for name in re.findall(r"^\| `([\w-]+)` \|", required, re.MULTILINE)}
    assert (
        told == {line.partition(">=")[0].lower() for line in setup["options"]["install_requires"].split()} == REQUIRED
    )
    ours = set(setup["options.extras_require"]) - {"test", "lint", "docs", "bench"}
    assert set(re.findall(r"^\| `([\w-]+)` \|", extras, re.MULTILINE)) == ours
