"""The query API as a client sees it."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from support.ledger import Ledger

TIMEOUT_SECONDS = 60


@dataclass
class Reply:
    status: int
    data: Any = None
    error_type: str = ""
    error: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Answered, and nothing says that something may be missing."""
        return self.status == 200 and not self.warnings


class Api:
    def __init__(self, query_url: str, tenant: str | None = None, strong: bool = False):
        self.base = f"{query_url}/api/v1"
        self.headers = {"X-Scope-OrgID": tenant} if tenant else {}
        if strong:
            self.headers["X-Read-Consistency"] = "strong"

    def get(self, path: str, **parameters: Any) -> Reply:
        pairs = [
            (f"{name}[]" if isinstance(value, list) else name, part)
            for name, value in parameters.items()
            for part in (value if isinstance(value, list) else [value])
        ]
        return self.send(urllib.request.Request(f"{self.base}/{path}?{urllib.parse.urlencode(pairs)}", headers=self.headers))

    def post(self, path: str, **parameters: Any) -> Reply:
        body = urllib.parse.urlencode(parameters).encode()
        return self.send(urllib.request.Request(f"{self.base}/{path}", data=body, headers=self.headers))

    def send(self, request: urllib.request.Request) -> Reply:
        """Any answer that is not the API's JSON is an error of its own; a refused connection is status 0."""
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                return reply_of(response.status, response.read())
        except urllib.error.HTTPError as error:
            return reply_of(error.code, error.read())
        except OSError as error:
            return Reply(0, error=str(error))

    def query(self, expression: str, time_s: float | None = None) -> Reply:
        parameters: dict[str, Any] = {"query": expression}
        if time_s is not None:
            parameters["time"] = time_s
        return self.get("query", **parameters)

    def vector(self, expression: str, time_s: float | None = None) -> dict[frozenset, float]:
        """The result of an instant query that must succeed: label set -> value."""
        reply = self.query(expression, time_s)
        assert reply.complete, f"{expression}: {reply}"
        return {frozenset(entry["metric"].items()): float(entry["value"][1]) for entry in reply.data["result"]}

    def check(self, selector: str, ledger: Ledger) -> None:
        """Reads all samples that a selector finds in the ledger's time and compares each."""
        first_ms, last_ms = ledger.time_range()
        range_s = math.ceil((last_ms - first_ms) / 1000) + 1
        reply = self.query(f"{selector}[{range_s}s]", last_ms / 1000)
        assert reply.complete, f"{selector}: {reply}"
        ledger.check(reply.data["result"])


def reply_of(status: int, body: bytes) -> Reply:
    try:
        document = json.loads(body)
    except ValueError:
        return Reply(status, error=body.decode(errors="replace")[:500])
    return Reply(status, document.get("data"), document.get("errorType", ""), document.get("error", ""),
                 document.get("warnings", []))
