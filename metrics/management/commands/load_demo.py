"""The demo organisation into this database. In: days, a seed. Out: its rows, replayed through the pipeline, and rolled up."""

import time
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django.utils import timezone
from tqdm import tqdm

from metrics.alerting.evaluate import look_at_counts, look_at_days
from metrics.demo import write_alerts, write_decisions
from metrics.rollup import roll_up
from surveys.demo.load import DAYS, SEED, DemoRefused, load_demo


class Command(BaseCommand):
    help = "Load the demo organisation and replay its interactions through the real pipeline. No message leaves the machine."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=DAYS, help=f"how many days, ending now (default: {DAYS})")
        parser.add_argument("--seed", type=int, default=SEED, help="another number, another story")
        parser.add_argument(
            "--beside-own-data",
            "--force",
            dest="beside_own",
            action="store_true",
            help="also into a database that has configuration or data of its own",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        days = options["days"]
        if not 1 <= days <= 730:
            raise CommandError("--days is from 1 to 730.")
        started = time.monotonic()
        with tqdm(unit="step", desc="Demo", leave=False, mininterval=1, delay=0.5) as bar:

            def show(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            try:
                now = timezone.now()
                with transaction.atomic():
                    loaded = load_demo(
                        now, days=days, seed=options["seed"], beside_own=options["beside_own"], progress=show
                    )
                    write_decisions(now, days)
                    write_alerts()
            except DemoRefused as refused:
                raise CommandError(str(refused)) from None
        # A worker that runs would do it within seconds; whoever opens the first page now should not have to wait for one.
        while roll_up():
            pass
        look_at_days(now)
        look_at_counts(now)
        self.stdout.write(
            f"The demo organisation is there: {loaded.events} events, {loaded.sent} messages in the local mailbox, "
            f"{loaded.answers} answers in {days} days ({time.monotonic() - started:.0f} s). remove_demo takes it away."
        )
