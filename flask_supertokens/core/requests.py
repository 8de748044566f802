"""What a CDI call carries: its app, tenant and version, and the fields that it sends, each checked when it is read.

What is missing or wrong is a `CallError` in the words of a real core.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from flask import Request

from ..engines.embedded import EmbeddedEngine
from ..protocol.model import PUBLIC_TENANT, Payload, TokenKind
from .apps import Core

T = TypeVar("T")
D = TypeVar("D")

MAX_BODY = 1024 * 1024
WITH_TENANTS, WITH_RECIPE_USERS, STRICT = (3, 0), (4, 0), (5, 0)
"""The versions of CDI that were the first to have tenants, to have recipe users, and to refuse what was left open before."""
_IN_EACH_TOKEN = frozenset(
    {"sub", "iat", "exp", "sessionHandle", "refreshTokenHash1", "parentRefreshTokenHash1", "antiCsrfToken"}
)
CLAIM_NAMES = {3: _IN_EACH_TOKEN, 4: _IN_EACH_TOKEN | {"tId"}, 5: _IN_EACH_TOKEN | {"tId", "rsub"}}
"""The names that access tokens of a version need for themselves; every other claim is of the user's payload."""


class CallError(Exception):
    """A call that gets a status other than 200, and a text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True)
class Call:
    """One call of CDI, for an app and a tenant of a core."""

    core: Core
    app_id: str
    tenant_id: str
    version: tuple[int, int]
    body: Payload = field(repr=False)
    query: Mapping[str, str] = field(repr=False)

    @cached_property
    def engine(self) -> EmbeddedEngine:
        """The app's engine, the same one for the whole call."""
        return self.core.engine_of(self.app_id)

    def token_kind(self, dynamic: bool | None) -> TokenKind:
        """Choose the access tokens that clients of this version read."""
        version = 5 if self.version >= WITH_RECIPE_USERS else 4 if self.version >= WITH_TENANTS else 3
        return TokenKind(version, dynamic)

    def require(self, name: str, kind: type[T]) -> T:
        """Read a field of the body that must be there.

        :raises CallError: it is missing, or of another type.
        """
        value = self.body.get(name)
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise invalid_field(name)
        return value

    def read(self, name: str, kind: type[T], default: D) -> T | D:
        """Read a field of the body that may be left out, or be null.

        :raises CallError: it is of another type.
        """
        return default if self.body.get(name) is None else self.require(name, kind)

    def require_parameter(self, name: str) -> str:
        """Read a parameter of the query that must be there.

        :raises CallError: it is missing.
        """
        if name not in self.query:
            raise CallError(400, f"Field name '{name}' is missing in GET request")
        return self.query[name]

    def require_name(self, name: str) -> str:
        """Read a field that names an app or a tenant, in small letters.

        :raises CallError: it is missing, or could not stand in a path.
        """
        wanted = self.require(name, str).lower()
        if not re.fullmatch(r"[a-z0-9-]{1,57}", wanted) or wanted.startswith("appid-"):
            raise CallError(400, f"{name} can only contain letters, numbers and hyphens, 57 at most")
        return wanted

    def check_payload(self, payload: Payload) -> Payload:
        """Return a user's payload as it is. Names that the engine keeps for itself may be in it: the engine drops them.

        :raises CallError: it has a name that this version's access tokens need.
        """
        if payload.keys() & (CLAIM_NAMES[self.token_kind(None).version] | {"stt", "nbf"}):
            raise CallError(400, "The user payload contains protected field")
        return payload

    def spans_tenants(self, asked: bool | None) -> bool:
        """Tell whether all tenants are meant, as they are unless the call says no.

        :raises CallError: the call comes by a tenant's own path, from where that is not allowed since CDI 5.0.
        """
        spans = asked is not False
        if spans and self.tenant_id != PUBLIC_TENANT and self.version >= STRICT:
            raise CallError(403, "Only public tenantId can call this app specific API")
        return spans


def invalid_field(name: str) -> CallError:
    """Make the error of a field whose value can't be."""
    return CallError(400, f"Field name '{name}' is invalid in JSON input")


def read_body(request: Request) -> Payload:
    """Read the JSON object that a request sends; of a body that is too large, no more than a byte beyond the limit.

    :raises CallError: it is no JSON object, or too large.
    """
    too_large = CallError(413, f"The body is larger than {MAX_BODY} bytes")
    if (request.content_length or 0) > MAX_BODY:
        raise too_large
    content = request.stream.read(MAX_BODY + 1)
    if len(content) > MAX_BODY:  # it was sent in chunks, which do not say their length before
        raise too_large
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CallError(400, "Invalid Json Input") from error
    if not isinstance(body, dict):
        raise CallError(400, "Invalid Json Input")
    return body
