"""The demo organisation out of this database. In: nothing. Out: its rows are gone, everything else is as it was."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from metrics.demo import remove_alerts, remove_decisions
from metrics.rollup import roll_up, sweep
from surveys.demo.remove import NoDemo, remove_demo


class Command(BaseCommand):
    help = "Take away everything that load_demo brought, and nothing else."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with transaction.atomic():
                remove_decisions()
                remove_alerts()
                removed = remove_demo()
        except NoDemo:
            raise CommandError("There is no demo in this database.") from None
        while roll_up():
            pass
        sweep()
        for name in removed.kept:
            self.stdout.write(
                f"Kept: touchpoint {name}, with what it needs. It has rules or data that the demo did not bring."
            )
        self.stdout.write(f"The demo is gone: {sum(removed.rows.values())} rows.")
