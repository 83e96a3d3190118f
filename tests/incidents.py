"""Real incidents with their times, as a table. In: a file. Out: a DataFrame with aware times; see data/README.md.

The sample belongs to the project. The whole table is used where it lies beside it, for tests that are marked slow.
"""

from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent
SAMPLE = HERE / "data" / "incidents_sample.csv.gz"
WHOLE = HERE.parent.parent / "shared" / "data" / "incident_cases.csv.gz"


def read_incidents(path: Path = SAMPLE) -> pd.DataFrame:
    """One row per incident, `opened_at`, `resolved_at` (NaT where never resolved) and `closed_at` in UTC."""
    times = ["opened_at", "resolved_at", "closed_at"]
    table = pd.read_csv(path)
    table[times] = table[times].apply(pd.to_datetime, utc=True)
    return table
