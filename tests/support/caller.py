"""A service that calls a core of ours, in one version of CDI, and what it says."""

from __future__ import annotations

import json
from typing import Any

import jwt
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

API_KEY = "a-key-of-twenty-characters-or-more"
NEW = {"userId": "u", "userDataInJWT": {"a": 1}, "userDataInDatabase": {"b": 2}, "enableAntiCsrf": False}


class Caller:
    """Calls in one version of CDI."""

    def __init__(
        self, client: FlaskClient, version: str | None = "5.3", key: str | None = None, base: str = ""
    ) -> None:
        self._client = client
        self._headers = {
            name: value for name, value in (("cdi-version", version), ("api-key", key)) if value is not None
        }
        self._base = base

    def post(self, path: str, body: Any = None, **fields: Any) -> TestResponse:
        given = {**(body or {}), **fields} if not isinstance(body, bytes | str | list) else body
        data = given if isinstance(given, bytes | str) else json.dumps(given)
        return self._client.post(f"{self._base}{path}", data=data, headers=self._headers)

    def put(self, path: str, **fields: Any) -> TestResponse:
        return self._client.put(f"{self._base}{path}", data=json.dumps(fields), headers=self._headers)

    def get(self, path: str, **query: str) -> TestResponse:
        return self._client.get(f"{self._base}{path}", query_string=query, headers=self._headers)

    def create(self, path: str = "/recipe/session", **fields: Any) -> dict[str, Any]:
        response = self.post(path, NEW, **fields)
        assert response.status_code == 200, response.text
        return dict(response.json)

    def refresh(self, token: str, **fields: Any) -> Any:
        asked = {"refreshToken": token, "enableAntiCsrf": False, "useDynamicSigningKey": True, **fields}
        return self.post(
            "/recipe/session/refresh", {name: value for name, value in asked.items() if value is not None}
        ).json

    def verify(self, token: str, **fields: Any) -> Any:
        asked = {
            "accessToken": token,
            "enableAntiCsrf": False,
            "doAntiCsrfCheck": False,
            "checkDatabase": False,
            **fields,
        }
        return self.post("/recipe/session/verify", asked).json


FIELDS: dict[str, dict[str, Any]] = {
    "POST /recipe/session": NEW,
    "POST /recipe/session/verify": {
        "accessToken": "x",
        "enableAntiCsrf": False,
        "doAntiCsrfCheck": False,
        "checkDatabase": False,
    },
    "POST /recipe/session/refresh": {"refreshToken": "x", "enableAntiCsrf": False, "useDynamicSigningKey": True},
    "POST /recipe/session/regenerate": {"accessToken": "x"},
    "PUT /recipe/session/data": {"sessionHandle": "x", "userDataInDatabase": {}},
    "PUT /recipe/jwt/data": {"sessionHandle": "x", "userDataInJWT": {}},
    "POST /recipe/jwt": {"payload": {}, "algorithm": "RS256", "jwksDomain": "x", "validity": 100},
    "PUT /recipe/multitenancy/app/v2": {"appId": "x"},
    "PUT /recipe/multitenancy/tenant/v2": {"tenantId": "x"},
}


def kid_of(answer: dict[str, Any]) -> str:
    return str(jwt.get_unverified_header(answer["accessToken"]["token"])["kid"])
