"""What an import costs in time and memory, over `flask`, `sqlalchemy` and `jwt`: each in a process of its own."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from typing import NamedTuple

from .figures import Table
from .services import Services

BASE = "flask, sqlalchemy, jwt, in full"
IMPORT = "import flask_supertokens"
START = "import, and SuperTokens(app)"
REQUESTS = "requests loaded without a core"
MEMORY = "MB: "
_BASE = "import flask, sqlalchemy, jwt"
_APP = (
    "from flask_supertokens import SuperTokens; a = flask.Flask('a'); a.config['SECRET_KEY'] = 'secret'; SuperTokens(a)"
)
_PEERS = ("flask_jwt_extended", "flask_login", "flask_session", "flask_security")
_PROBE = """
import json, sys, time
def memory():
    try:
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
    except OSError:
        return 0
start, before = time.perf_counter(), memory()
{base}
middle, between = time.perf_counter(), memory()
{code}
end, after = time.perf_counter(), memory()
print(json.dumps([1000 * (middle - start), 1000 * (end - middle), between - before, after - between, "requests" in sys.modules]))
"""


class Start(NamedTuple):
    """Milliseconds and MB of the base, the same on top of it, and whether `requests` was loaded then."""

    base_time: float
    time: float
    base_memory: float
    memory: float
    has_requests: bool


def measure_start(code: str) -> Start:
    """Run it in a process of its own."""
    program = _PROBE.format(base=_BASE, code=code)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return Start(*json.loads(done.stdout))


def measure(services: Services) -> Table:
    """Minima of interleaved starts: whatever disturbs a start makes it longer."""
    codes = {IMPORT: IMPORT, START: _APP, **{code: code for code in _list_peers()}}
    rounds = [{name: measure_start(code) for name, code in codes.items()} for _ in range(services.effort.starts)]
    starts = {name: [found[name] for found in rounds] for name in codes}
    figures = {BASE: min(start.base_time for start in starts[IMPORT])}
    figures |= {name: min(start.time for start in found) for name, found in starts.items()}
    figures[MEMORY + BASE] = min(start.base_memory for start in starts[IMPORT])
    figures |= {MEMORY + name: min(start.memory for start in found) for name, found in starts.items()}
    figures[REQUESTS] = starts[START][0].has_requests
    return Table("A start", "ms over flask, sqlalchemy and jwt", figures)


def _list_peers() -> list[str]:
    return [f"import {module}" for module in _PEERS if importlib.util.find_spec(module) is not None]
