"""The README's code runs as it stands there."""

import pathlib
import re
from typing import Any

from ..support.apps import close_database
from ..support.docs import blocks

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_the_first_example_signs_in_and_answers_who_it_is(tmp_path: pathlib.Path) -> None:
    """The ten lines at the top are a whole app; the second example adds a handler to it."""
    names: dict[str, Any] = {"__name__": "readme", "tell_the_user": lambda *_: None}
    code = "\n".join(blocks(README.read_text("utf-8")))
    code = code.replace("Flask(__name__)", f"Flask(__name__, instance_path={str(tmp_path)!r})")
    exec(compile(code, str(README), "exec"), names)
    client = names["app"].test_client()
    assert client.get("/me").status_code == 401
    assert client.post("/login", base_url="https://localhost").status_code == 200
    assert client.get("/me", base_url="https://localhost").json == {"user": "user-1"}
    assert client.post("/refresh", base_url="https://localhost").status_code == 200
    close_database(names["app"])


def test_the_readme_stays_short() -> None:
    """A README of more than 120 lines is not read."""
    assert len(README.read_text().splitlines()) <= 120


def test_the_readme_s_links_lead_to_files() -> None:
    """Each is there, from the folder that the README is in."""
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", README.read_text("utf-8"))
    assert len(targets) > 20
    assert [target for target in targets if not (README.parent / target).exists()] == []
