"""Proof that cells + ledger = raw. In: the database as it stands at one moment. Out: every counter that differs.

One statement, hence one snapshot: it may run at any time, beside writers, drainers and a rebuild. It changes nothing.
"""

from dataclasses import dataclass

from django.db import connection, transaction

from metrics.buckets import unpack
from metrics.models import Grain
from metrics.rollup import KINDS, Kind


@dataclass(frozen=True)
class Difference:
    """One cell that does not hold what raw says. `excess` is counter (or "bucket 12") to (cell + ledger) − raw, never 0."""

    cell: str
    key: dict[str, str]
    excess: dict[str, int]

    def __str__(self) -> str:
        key = " ".join(f"{name}={value}" for name, value in self.key.items())
        return f"{self.cell} {key}: " + ", ".join(f"{name} {value:+d}" for name, value in self.excess.items())


def verify(limit: int = 1000) -> list[Difference]:
    """The first `limit` differences, none where every aggregate of every grain agrees. All-zero cells count as absent."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")
        cursor.execute(f"{' UNION ALL '.join(f'({_differences(kind)})' for kind in KINDS)} LIMIT %s", [limit])
        rows = cursor.fetchall()
    kinds = {kind.cell: kind for kind in KINDS}
    return [_difference(kinds[cell], key, excess) for cell, key, excess in rows]


def _differences(kind: Kind) -> str:
    """A SELECT of (cell table, key as text[], excess as text[]). Cells = raw − ledger, grouped as the roll-up groups."""
    ledger = ", ".join("-delta" if name == "delta" else name for name in kind.row)
    key = ("grain", *kind.key)
    names = ", ".join(key)
    excess = [f"coalesce(held.{name}, 0) - coalesce(wanted.{name}, 0)" for name in kind.counters]
    return (
        f"WITH rows AS ({kind.raw_rows()} UNION ALL SELECT {ledger} FROM {kind.ledger}), "
        f"fine AS MATERIALIZED ({kind.fine('rows')}), "
        f"wanted ({', '.join((*key, *kind.counters))}) AS ({kind.spread('fine')}) "
        f"SELECT '{kind.cell}'::text, ARRAY[{', '.join(f'{name}::text' for name in key)}], "
        f"ARRAY[{', '.join(excess)}]::numeric[]::text[] "
        f"FROM {kind.cell} AS held FULL JOIN wanted USING ({names}) "
        f"WHERE {' OR '.join(f'{one} <> 0' for one in excess)} ORDER BY {names}"
    )


def _difference(kind: Kind, key: list[str], excess: list[str]) -> Difference:
    names = dict(zip(("grain", *kind.key), key, strict=True))
    names["grain"] = Grain(int(names["grain"])).name.lower()
    counters: dict[str, int] = {}
    for name, value in zip(kind.counters, excess, strict=True):
        if name == "histogram":
            counters |= {f"bucket {bucket}": count for bucket, count in zip(*unpack(value), strict=True)}
        elif int(value):
            counters[name] = int(value)
    return Difference(kind.cell.removeprefix("metrics_"), names, counters)
