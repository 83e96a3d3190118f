"""Services that are away: a database and a broker at real ports where nobody listens."""

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connection

from tests.stack import free_port


@contextlib.contextmanager
def database_away() -> Iterator[None]:
    """Every connection is refused, for this thread, until the block ends. Needs `django_db(transaction=True)`."""
    held: dict[str, Any] = dict(connection.settings_dict)
    connection.close()
    connection.settings_dict |= {"HOST": "127.0.0.1", "PORT": str(free_port())}
    try:
        yield
    finally:
        connection.close()
        connection.settings_dict.update(held)


def redis_away() -> str:
    """The address of a Redis that is not there."""
    return f"redis://127.0.0.1:{free_port()}/0"
