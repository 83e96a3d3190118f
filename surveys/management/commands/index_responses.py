"""Make what all responses are found by anew. In: nothing. Out: terms; safe at any time, beside a server that runs, and to break off."""

from typing import Any

from django.core.management.base import BaseCommand
from tqdm import tqdm

from surveys.flow.index import index_waiting, wait_for_all


class Command(BaseCommand):
    help = "Makes anew what all responses are found by, while the server runs. Broken off, a worker goes on with it."

    def handle(self, *args: Any, **options: Any) -> None:
        with tqdm(unit=" responses", desc="Indexing", total=wait_for_all()) as bar:
            while made := index_waiting():
                bar.update(made)
        self.stdout.write(f"Every response can be found: {bar.n}.")
