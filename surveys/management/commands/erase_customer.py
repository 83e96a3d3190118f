"""Erase a customer's personal data. In: an external id. Out: stripped rows; aggregates keep their counts."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from surveys.flow.erase import NoSuchCustomer, erase_customer


class Command(BaseCommand):
    help = "Erase a customer's personal data; aggregates keep their counts."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("external_id")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            erase_customer(options["external_id"], timezone.now())
        except NoSuchCustomer:
            raise CommandError(f"Nobody is known by the external id “{options['external_id']}”.") from None
        self.stdout.write("Erased. What was counted stays counted.")
