"""Statements that PostgreSQL plans once per connection. In: SQL with named places and their types. Out: rows on a cursor.

For the few statements that run with every answer: each is a key's look-up or an insert, done in a tenth of the time that planning
it takes. Elsewhere plain SQL is right.
"""

import weakref
from collections.abc import Mapping
from typing import Any

from django.db import connection
from psycopg2 import errors


class Prepared:
    """One statement. `sql` names its places like %(token)s; `types` gives their PostgreSQL types, in any order."""

    def __init__(self, name: str, sql: str, types: Mapping[str, str]) -> None:
        places = {place: f"${number}" for number, place in enumerate(types, 1)}
        self._names = tuple(types)
        self._prepare = f"PREPARE {name} ({', '.join(types.values())}) AS {sql % places}"
        self._execute = f"EXECUTE {name} ({', '.join(f'%({place})s' for place in types)})"
        self._forget = f"DEALLOCATE {name}"
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()  # connections that hold it

    def execute(self, cursor: Any, values: Mapping[str, Any]) -> None:
        """Run it on a cursor of Django's connection; every place of `types` needs its value."""
        given = {name: values[name] for name in self._names}
        held = connection.connection
        if held not in self._known:
            cursor.execute(self._prepare)
            self._known.add(held)
        try:
            cursor.execute(self._execute, given)
        except Exception as error:
            # A pooler gave us another server's connection, or a migration changed a table behind the plan.
            lost = isinstance(error.__cause__, errors.InvalidSqlStatementName | errors.FeatureNotSupported)
            if not lost or connection.in_atomic_block:
                self._known.discard(held)
                raise
            if isinstance(error.__cause__, errors.FeatureNotSupported):
                cursor.execute(self._forget)
            cursor.execute(self._prepare)
            cursor.execute(self._execute, given)
