"""Statements that PostgreSQL plans once per connection. In: SQL with named places and their types. Out: rows on a cursor.

For the few statements that run with every answer: each is a key's look-up or an insert, done in a tenth of the time that planning
it takes. Elsewhere plain SQL is right.
"""

import itertools
import weakref
from collections.abc import Mapping
from typing import Any

from django.db import connection
from psycopg2 import errors

_numbers = itertools.count(1)


class Prepared:
    """One statement. `sql` names its places like %(token)s; `types` gives their PostgreSQL types, in any order."""

    def __init__(self, name: str, sql: str, types: Mapping[str, str]) -> None:
        places = {place: f"${number}" for number, place in enumerate(types, 1)}
        self._name = name
        self._prepare = f"({', '.join(types.values())}) AS {sql % places}"
        self._values = f"({', '.join(f'%({place})s' for place in types)})"
        self._places = tuple(types)
        # A connection to the name under which it holds the statement. A lost one is never asked for again by its old name.
        self._held: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()

    def execute(self, cursor: Any, values: Mapping[str, Any]) -> None:
        """Run it on a cursor of Django's connection; every place of `types` needs its value."""
        given = {place: values[place] for place in self._places}
        try:
            self._execute(cursor, given)
        except Exception as error:
            # A pooler gave us another server's connection, or a migration changed a table behind the plan.
            if not isinstance(error.__cause__, errors.InvalidSqlStatementName | errors.FeatureNotSupported):
                raise
            self._held.pop(connection.connection, None)
            if connection.in_atomic_block:  # which is lost, and its owner's to repeat
                raise
            self._execute(cursor, given)

    def _execute(self, cursor: Any, given: Mapping[str, Any]) -> None:
        name = self._held.get(connection.connection)
        if name is None:
            name = f"{self._name}_{next(_numbers)}"
            cursor.execute(f"PREPARE {name} {self._prepare}")
            self._held[connection.connection] = name
        cursor.execute(f"EXECUTE {name} {self._values}", given)
