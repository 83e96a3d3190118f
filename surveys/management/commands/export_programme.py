"""The configuration as a file. Out: YAML on standard output; importing it again changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand

from surveys.flow.programme import export_programme


class Command(BaseCommand):
    help = "Print the whole configuration as a programme file."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(export_programme(), ending="")
