"""Where a core of ours means to answer otherwise than a real one, and why. The docs have the same table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from .replay import Exchange


@dataclass(frozen=True)
class Difference:
    """A difference that is meant. ``holds`` tells whether an exchange shows it, and nothing else."""

    name: str
    reason: str
    holds: Callable[[Exchange], bool]


def _status(exchange: Exchange) -> tuple[object, object]:
    return tuple(
        answer.get("status") if isinstance(answer, dict) else None for answer in (exchange.recorded, exchange.ours)
    )  # type: ignore[return-value]


def _path(exchange: Exchange) -> str:
    return str(exchange.request.get("path", ""))


DIFFERENCES = (
    Difference(
        "first use",
        "The first use of one of several children decides nothing, so no token without a parent comes of it.",
        lambda it: _path(it).endswith("/session/verify") and it.unlike == ("accessToken missing",),
    ),
    Difference(
        "the first refresh decides",
        "A sibling that is used to refresh becomes the line; the alarm comes with the next claim, not with this one.",
        lambda it: _status(it) == ("TOKEN_THEFT_DETECTED", "OK"),
    ),
    Difference(
        "only a refresh lengthens",
        "An access token that a verify hands out (`checkDatabase` with a changed payload) expires when the presented one does,"
        " and so does one that is made of it; a real core gives it a full life.",
        lambda it: it.unlike in (("accessToken.lifetime",), ("lifetime",)),
    ),
    Difference(
        "words of Java",
        "A refresh token that is none of ours is described in our words; the status is the same.",
        lambda it: (
            _status(it) == ("UNAUTHORISED", "UNAUTHORISED")
            and len(it.unlike) == 1
            and it.unlike[0].startswith(("message: 'io.supertokens", "message: 'java"))
        ),
    ),
    Difference(
        "any JSON",
        "A payload with an integer of more than 64 bits, or with nulls inside, is kept; a real core answers 500.",
        lambda it: it.unlike[0] == "status 500 here 200",
    ),
    Difference(
        "versions",
        "CDI 2.21 to 5.4 are spoken; older ones are not, nor [5.5 and 5.6](decisions/cdi-5-4.md).",
        lambda it: it.unlike == ("versions.fewer",),
    ),
)


def difference_of(exchange: Exchange) -> Difference | None:
    """The one that explains why an exchange is unlike."""
    return next((difference for difference in DIFFERENCES if difference.holds(exchange)), None)
