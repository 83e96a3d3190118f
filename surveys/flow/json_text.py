"""Free JSON to the text that PostgreSQL's jsonb takes. In: decoded JSON. Out: text."""

import json
from typing import Any

import msgspec


def json_text(value: Any) -> str:
    """Compact JSON. Integers above 64 bits, which the fast encoder refuses, go the slow way."""
    try:
        return msgspec.json.encode(value).decode()
    except OverflowError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
