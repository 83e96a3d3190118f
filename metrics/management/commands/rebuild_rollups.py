"""Rebuild all aggregates from raw while the server runs."""

from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from metrics.days import redate
from metrics.rollup import rebuild


class Command(BaseCommand):
    help = "Rebuilds all aggregates from raw, in the organisation's present time zone and working hours, while the server runs."

    def handle(self, *args: Any, **options: Any) -> None:
        moved = redate()
        with tqdm(unit="month", desc="Rebuilding") as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            rebuild(show)
        self.stdout.write(f"Rebuilt. {moved} rows had stored days or business times of another zone or other hours.")
