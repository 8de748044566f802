"""A client of one app with one session: it sends and keeps tokens as browsers (cookies) and phones (headers) do."""

from __future__ import annotations

import copy
from typing import Any

import requests

REFRESH = "/auth/session/refresh"
KEPT = ("st-access-token", "st-refresh-token", "anti-csrf", "front-token")


class Client:
    def __init__(self, address: str, mode: str = "header") -> None:
        self.address = address
        self.mode = mode
        self.handle = ""
        self.tokens: dict[str, str] = {}
        self._http = requests.Session()
        self._http.headers["st-auth-mode"] = mode

    def sign_in(self, user: str = "user-1", payload: object = None, data: object = None) -> Client:
        answer = self.call("POST", "/login", {"user": user, "payload": payload or {}, "data": data or {}})
        assert answer.status_code == 200, answer.text
        self.handle = answer.json()["handle"]
        return self

    def call(self, method: str, path: str, body: object = None) -> requests.Response:
        """One request with the tokens that this client has; those of the answer replace them."""
        answer = self._http.request(
            method, self.address + path, json=body, headers=self._token_headers(path), timeout=20
        )
        self.tokens |= {name: answer.headers[name] for name in KEPT if name in answer.headers}
        return answer

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The same; what the answer says."""
        answer = self.call(method, path, body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refresh(self) -> requests.Response:
        return self.call("POST", REFRESH)

    def copy_to(self, address: str | None = None) -> Client:
        """Another client with the same tokens, maybe at another app."""
        other = copy.deepcopy(self)
        other.address = address or self.address
        return other

    @property
    def access_token(self) -> str:
        return self.tokens["st-access-token"] if self.mode == "header" else self._http.cookies["sAccessToken"]

    @property
    def refresh_token(self) -> str:
        return self.tokens["st-refresh-token"] if self.mode == "header" else self._http.cookies["sRefreshToken"]

    def _token_headers(self, path: str) -> dict[str, str]:
        csrf = {"anti-csrf": self.tokens["anti-csrf"]} if "anti-csrf" in self.tokens else {}
        token = self.tokens.get("st-refresh-token" if path == REFRESH else "st-access-token")
        return {**csrf, "Authorization": f"Bearer {token}"} if token else csrf


def refusal_of(answer: requests.Response) -> str:
    """The message of a 401."""
    assert answer.status_code == 401, answer.text
    message: str = answer.json()["message"]
    return message
