"""Proof that cells + ledger = raw. In: the database as it stands at one moment. Out: every counter that differs.

One statement, hence one snapshot: it may run at any time, beside writers, drainers and a rebuild. It changes nothing. Month by
month within the statement, so that what is compared at once fits into memory however long the history is.
"""

from dataclasses import dataclass

from django.db import connection, transaction

from metrics.buckets import unpack
from metrics.models import Grain
from metrics.rollup import KINDS, TUNE, Kind, months_sql


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
        cursor.execute(TUNE)
        cursor.execute(f"{' UNION ALL '.join(f'({_differences(kind)})' for kind in KINDS)} LIMIT %s", [limit])
        rows = cursor.fetchall()
    kinds = {kind.cell: kind for kind in KINDS}
    return [_difference(kinds[cell], key, excess) for cell, key, excess in rows]


def _differences(kind: Kind) -> str:
    """A SELECT of (cell table, key as text[], excess as text[]), month by month. Cells = raw − ledger, grouped as the roll-up groups."""
    key = ("grain", *kind.key)
    rows = f"{kind.raw_rows('month.first', 'month.after')} UNION ALL {kind.ledger_rows('month.first', 'month.after')}"
    return (
        f"SELECT '{kind.cell}'::text, ARRAY[{', '.join(f'{name}::text' for name in key)}], "
        f"ARRAY[{', '.join(f'excess_{name}' for name in kind.counters)}]::numeric[]::text[] "
        f"FROM (SELECT start AS first, (start + interval '1 month')::date AS after FROM ({months_sql([kind])}) AS months) AS month "
        f"CROSS JOIN LATERAL ({kind.differences(rows, 'month.first', 'month.after')}) AS wrong ORDER BY {', '.join(key)}"
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
