"""The REST API as a client of it sees it, inside the test's own process and transaction."""

import json
from typing import Any

from django.test import Client

from tests.factories import make_api_key


class Api:
    """A client with one key. `raise_request_exception=False`: a fault of ours is a 500, as outside."""

    def __init__(self, *scopes: str, key: str | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.key = make_api_key(*scopes) if key is None else key

    def get(self, path: str, expect: int = 200, **query: Any) -> Any:
        return self._checked(self.client.get(self._url(path), query, headers=self._headers()), expect)

    def post(self, path: str, body: Any, expect: int = 201, content_type: str = "application/json") -> Any:
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        sent = self.client.post(self._url(path), data=data, content_type=content_type, headers=self._headers())
        return self._checked(sent, expect)

    def delete(self, path: str, expect: int = 204) -> Any:
        return self._checked(self.client.delete(self._url(path), headers=self._headers()), expect)

    def pointers(self, path: str, body: Any) -> list[str]:
        """Where a body is wrong, which it must be."""
        problem = self.post(path, body, expect=400)
        return [error["pointer"] for error in problem["errors"]]

    def _url(self, path: str) -> str:
        return path if path.startswith(("http", "/")) else f"/api/v1/{path}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    @staticmethod
    def _checked(answer: Any, status: int) -> Any:
        """Its JSON. Every error is a problem document that says its own status."""
        assert answer.status_code == status, answer.content
        if not answer.content:
            return None
        body = answer.json()
        if status >= 400:
            assert answer["Content-Type"] == "application/problem+json"
            assert body["status"] == status
            assert body["title"]
            assert body["detail"]
            assert body["type"]
        return body
