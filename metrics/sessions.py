"""What each session of the database is told at its start. In: a new connection. Out: nothing but its settings.

A page over years sums tens of thousands of cells in one statement: enough for PostgreSQL to compile the plan first, which takes
longer than the sum (0.2 s and more). The embedded cluster does not; an operator's own does unless told.
"""

from typing import Any

from django.db.backends.signals import connection_created


def connect() -> None:
    connection_created.connect(tell_session, dispatch_uid="metrics.tell_session")


def tell_session(connection: Any, **_: Any) -> None:
    # Below Django's cursor: this is no query of whoever happens to be the first to ask something.
    with connection.connection.cursor() as cursor:
        cursor.execute("SET jit = off")
