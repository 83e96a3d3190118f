#!/usr/bin/env python
"""Django's commands, on the services of the server that runs on CX_DATA_DIR, or on services started for the duration."""

import os
import signal
import sys
from pathlib import Path

NEED_NO_SERVICES = {"help", "--help", "version", "--version", "check", "collectstatic", "startapp"}


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "cxsurvey.settings")
    from cxsurvey.embedded import Services, ServicesError

    command = sys.argv[1] if len(sys.argv) > 1 else "help"
    if command in NEED_NO_SERVICES or (os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")):
        return execute()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # by unwinding, so that services of our own stop too
    services = Services(Path(os.environ.get("CX_DATA_DIR") or Path(__file__).resolve().parent / "var"))
    try:
        with services.borrowed():
            execute()
    except ServicesError as error:
        if command == "take_mail":  # the mail server brings it again: sysexits(3)
            sys.stderr.write(f"{error}\n")
            sys.exit(75)
        sys.exit(str(error))
    return None


def execute() -> None:
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
