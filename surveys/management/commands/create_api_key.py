"""A key for another system. In: its name and scopes. Out: the key, once, alone on the last line; only its hash is kept."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from surveys.models import ApiKey
from surveys.models.keys import SCOPES


class Command(BaseCommand):
    help = "Create an API key. It is shown once, alone on the last line."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="whose key it is")
        parser.add_argument(
            "--scope", dest="scopes", action="append", required=True, choices=SCOPES, help="may be given more than once"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"].strip()
        scopes = sorted(set(options["scopes"]), key=SCOPES.index)
        row = ApiKey(name=name, scopes=scopes)
        try:
            row.clean_fields(exclude=["id", "prefix", "hashed_key"])
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from None
        if not name:
            raise CommandError("The key needs a name.")
        key: str = ApiKey.objects.assign_key(row)
        row.save()
        self.stdout.write(f"A key for “{name}” that may {', '.join(scopes)}. It is not shown again:")
        self.stdout.write(key)
