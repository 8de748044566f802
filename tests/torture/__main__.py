"""All of it, in the long form: ``python -m tests.torture [tenth]``; ``tenth`` makes it ten times shorter."""

from __future__ import annotations

import sys

from . import faults, fire, fuzz, kills, lives, soak


def main(scale: int = 1) -> None:
    """Each prints its figures, and ends the run when something went wrong."""
    lives.main(10_000 // scale)
    fuzz.main(1_000_000 // scale)
    fire.main(1000 // scale)
    kills.main(1000 // scale)
    faults.main(15 / scale)
    soak.main(30 / scale)


if __name__ == "__main__":
    main(10 if "tenth" in sys.argv else 1)
