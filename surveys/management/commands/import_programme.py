"""The configuration from a file. In: YAML. Out: rows, or every fault with its line and nothing changed."""

import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from surveys.flow.programme import Imported, ProgrammeError, import_programme


class Command(BaseCommand):
    help = "Create or update the configuration from a programme file; never deletes, all or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="YAML, or - for standard input")
        parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["file"]
        try:
            raw = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
            imported = import_programme(raw.decode("utf-8"), dry_run=options["dry_run"])
        except OSError as error:
            raise CommandError(f"{name}: {error.strerror}") from None
        except UnicodeDecodeError as error:
            line = raw.count(b"\n", 0, error.start) + 1
            raise CommandError(f"{name}: line {line}: This is not UTF-8.") from None
        except ProgrammeError as error:
            lines = "\n".join(f"{name}: {fault}" for fault in error.faults)
            raise CommandError(f"{lines}\n{len(error.faults)} faults; nothing was changed.") from None
        self.report(imported, dry_run=options["dry_run"])

    def report(self, imported: Imported, *, dry_run: bool) -> None:
        for what, slug in imported.created:
            self.stdout.write(f"+ {what} {slug}")
        for what, slug, names in imported.changed:
            self.stdout.write(f"~ {' '.join(filter(None, (what, slug)))}: {', '.join(names)}")
        for note in imported.notes:
            self.stdout.write(note)
        if imported.is_empty:
            self.stdout.write("Nothing changes: the configuration is as the file says.")
            return
        done = "would be " if dry_run else ""
        self.stdout.write(f"{len(imported.created)} {done}created, {len(imported.changed)} {done}changed.")
