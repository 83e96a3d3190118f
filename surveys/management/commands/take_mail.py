"""For a mail server's pipe: `manage.py take_mail < message`. In: one message. Out: an exit code of sysexits(3).

0: taken, whatever was in it; the mail server forgets it. 75: not now; it keeps the mail and comes again.
"""

import logging
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from surveys.flow.take_mail import HEADERS_MAX, take_mail

logger = logging.getLogger(__name__)
TEMPFAIL = 75


class Command(BaseCommand):
    help = "Take a mail that unsubscribes, from standard input; for a mail server's pipe (docs/email.md)."
    requires_system_checks: list[str] = []  # one process per mail

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--recipient", default="", help="the address that it was sent to, as the mail server says")

    def handle(self, *args: Any, **options: Any) -> None:
        message = sys.stdin.buffer.read(HEADERS_MAX)
        while sys.stdin.buffer.read(1 << 16):
            pass  # to its end: a mail server that cannot write believes that we died
        try:
            take_mail(message, timezone.now(), options["recipient"])
        except (
            Exception
        ):  # the database is away, or we are wrong: either way a mail that bounces is a customer who gives up
            logger.exception("A mail for unsubscribing could not be taken; it will come again.")
            sys.exit(TEMPFAIL)
