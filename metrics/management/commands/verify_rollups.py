"""Recompute every aggregate from raw and compare."""

from typing import Any

from django.core.management.base import BaseCommand

from metrics.verify import verify

SHOWN = 1000


class Command(BaseCommand):
    help = "Recomputes every aggregate from the raw responses and tickets in one snapshot; exit 1 where they differ."

    def handle(self, *args: Any, **options: Any) -> None:
        differences = verify(limit=SHOWN)
        for difference in differences:
            self.stdout.write(str(difference))
        if len(differences) == SHOWN:
            self.stdout.write(f"… and perhaps more: only the first {SHOWN} are shown.")
        self.stdout.write(f"{len(differences)} differences")
        if differences:
            raise SystemExit(1)
