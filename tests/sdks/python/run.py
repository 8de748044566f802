"""Runs scenarios, and prints a JSON line for each: name, ok, detail. Argument: see ``kit.py``; and ``names``, ``together``."""

import json
import traceback
from concurrent.futures import ThreadPoolExecutor

import scenarios
from kit import settings


def run(name):
    detail = None
    try:
        getattr(scenarios, name)()
    except Exception:
        detail = traceback.format_exc()
    return json.dumps({"name": name, "ok": detail is None, "detail": detail})


known = [
    name
    for name, what in vars(scenarios).items()
    if getattr(what, "__module__", "") == "scenarios" and not name.startswith("_")
]
print(json.dumps({"known": known}))
if settings["together"]:
    with ThreadPoolExecutor(len(settings["names"])) as threads:
        results = list(threads.map(run, settings["names"]))
else:
    results = map(run, settings["names"])
for line in results:
    print(line, flush=True)
