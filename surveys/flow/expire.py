"""Links whose time is over. In: sent invitations past `expires_at`. Out: status expired."""

from datetime import datetime

from django.db import transaction

from surveys.models import Invitation

OPEN = (Invitation.Status.SENT, Invitation.Status.DELIVERED, Invitation.Status.OPENED)


def expire_due(now: datetime) -> int:
    """How many links expired. The form looks at `expires_at` itself: this only keeps the lists true."""
    over = Invitation.objects.filter(status__in=OPEN, expires_at__lte=now)
    with transaction.atomic():
        # None is waited for, since they are locked in no order (flow/locks.py): what somebody holds is left for the next time.
        free = over.select_for_update(skip_locked=True, no_key=True).values("pk")
        return Invitation.objects.filter(pk__in=free).update(status=Invitation.Status.EXPIRED)
