"""Links whose time is over. In: sent invitations past `expires_at`. Out: status expired."""

from datetime import datetime

from surveys.models import Invitation

OPEN = (Invitation.Status.SENT, Invitation.Status.DELIVERED, Invitation.Status.OPENED)


def expire_due(now: datetime) -> int:
    """How many links expired. The form looks at `expires_at` itself: this only keeps the lists true."""
    return Invitation.objects.filter(status__in=OPEN, expires_at__lte=now).update(status=Invitation.Status.EXPIRED)
