#!/usr/bin/env python
"""Django's commands, on the services of the server that runs on CX_DATA_DIR, or on services started for the duration."""

import os
import sys
from pathlib import Path

NEED_NO_DATABASE = {"help", "--help", "version", "--version", "collectstatic", "startapp", "shell_plus"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cxsurvey.settings")
    from cxsurvey.embedded import Services

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if os.environ.get("DATABASE_URL") or command in NEED_NO_DATABASE:
        return execute()
    root = Path(__file__).resolve().parent
    services = Services(Path(os.environ.get("CX_DATA_DIR") or root / "var"))
    with services.borrowed():
        execute()
    return None


def execute() -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
