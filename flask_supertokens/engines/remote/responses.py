"""What a host's response says, and the sentences for what is none of a core. Each names the host and what to do."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ...errors import GeneralError
from ...protocol.cdi import read_unknown_tenant
from ...protocol.model import PUBLIC_TENANT

OK, TOO_MANY = 200, 429
_KEY_REFUSED = 401
_REDIRECTS = range(300, 400)
_TOKEN = re.compile(r"[\w.+/=-]{64,}", re.ASCII)


@dataclass(frozen=True)
class CoreResponse:
    """A complete response; headers are found in any case. ``repeated``: an earlier host may have executed the call too."""

    host: str
    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    repeated: bool = False


def read_json(response: CoreResponse) -> Any:
    """Read the JSON of a response to a call that was executed.

    :raises GeneralError: a host said no, or is no core.
    """
    _check_status(response)
    try:
        return json.loads(response.body)
    except (ValueError, RecursionError) as error:
        raise not_a_core(response) from error


def read_keys(response: CoreResponse) -> tuple[list[Any], int | None]:
    """Read the keys of a JWKS, and its ``max-age`` in seconds.

    :raises GeneralError: as `read_json`, or it is something else than keys.
    """
    document = read_json(response)
    found = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(found, list):
        raise GeneralError(f"{response.host} answered the key route with something else than keys.")
    max_age = re.search(r"max-age=([0-9]{1,9})", response.headers.get("cache-control", ""))
    return found, int(max_age[1]) if max_age else None


def _check_status(response: CoreResponse) -> None:
    if response.status == OK:
        return
    if response.status == _KEY_REFUSED:
        raise GeneralError(
            f"The core at {response.host} refuses the API key. Set SUPERTOKENS_API_KEY to one of its keys."
        )
    if response.status in _REDIRECTS:
        target = response.headers.get("location", "elsewhere")
        raise GeneralError(
            f"{response.host} redirects to {_one_line(target)[:200]}."
            " Put the core's own address into SUPERTOKENS_CONNECTION_URI."
        )
    unknown = read_unknown_tenant(response.status, response.body)
    if unknown is not None:
        raise _unknown_tenant(response.host, *unknown)
    text = _TOKEN.sub("...", _one_line(response.body[:4096].decode("utf-8", "replace")))
    raise GeneralError(f"The core at {response.host} answered {response.status}: {text[:300]}")


def not_a_core(response: CoreResponse) -> GeneralError:
    """Make the error of a host that is something else."""
    kind = _one_line(response.headers.get("content-type", "no content type"))[:60]
    return GeneralError(
        f"{response.host} does not answer like a SuperTokens core ({kind}). Check SUPERTOKENS_CONNECTION_URI, its base path"
        " included."
    )


def _unknown_tenant(host: str, app_id: str, tenant_id: str) -> GeneralError:
    """Make the error of a tenant or an app that is missing: the whole cluster does not have it, and it does not pass."""
    path = "the base path in SUPERTOKENS_CONNECTION_URI"
    if tenant_id == PUBLIC_TENANT:
        text = f"The core at {host} has no app {app_id!r}. Add it there, or correct {path}."
    else:
        text = (
            f"The core at {host} has no tenant {tenant_id!r} in its app {app_id!r}. Add it there, or correct the tenant_id of"
            f" the call; or {path}, if that names the tenant."
        )
    return GeneralError(text, retry=False)


def no_host_left(failures: list[str]) -> GeneralError:
    """Make the error of a call that failed with each host, for these reasons."""
    return GeneralError(
        f"No SuperTokens core could be asked ({'; '.join(failures)}). Check that it runs, and SUPERTOKENS_CONNECTION_URI."
    )


# -- for logs ----------------------------------------------------------------------------------------------------------


def describe_error(error: Exception) -> str:
    """Say what a library's error says, without objects and passwords."""
    cause = error.args[0] if error.args else None
    text = str(getattr(cause, "reason", cause) or error)
    return _one_line(re.sub(r"(<[^>]*>|\w+\(host=[^)]*\)):? ?|(?<=//)[^/\s]*@", "", text))[:200]


def without_password(uri: str) -> str:
    """Drop user and password from an address."""
    parts = urlsplit(uri)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _one_line(text: str) -> str:
    """Drop control characters and line breaks from a text."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())
