"""The working hours by which a ticket's business time is written. In: nothing. Out: the calendar that holds now, until the commit.

Whoever stores business time reads the hours under a shared lock; whoever brings stored times up to changed hours first waits, once,
for all who may have read the former ones. So no ticket keeps the former hours after a rebuild, and nobody waits for its whole length.
The lock is taken after every row's lock, and whoever waits for it alone holds nothing: no circle.
"""

from django.db import connection, transaction

from surveys.models import Organisation
from surveys.worktime import WorkCalendar

HOURS_LOCK = 0x6378_686F_7572  # any number that nothing else in this database locks


def present_hours() -> WorkCalendar | None:
    """The organisation's calendar, which nobody takes for a former one before this transaction ends. Two statements: the second one's
    snapshot holds what was committed while the first waited."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [HOURS_LOCK])
    organisation = Organisation.objects.filter(pk=1).first()
    return organisation.work_calendar if organisation else None


def wait_for_former_hours() -> None:
    """Return when every transaction has ended that may have read hours which are not the present ones. Not inside a transaction."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [HOURS_LOCK])
