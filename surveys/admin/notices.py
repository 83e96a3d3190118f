"""The versions of the privacy notice. In: rows that are never changed. Out: a page that only reads, with the answers given under each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.utils.translation import gettext as _

from surveys.admin.records import moment
from surveys.admin.texts import language_name
from surveys.models import Organisation, PrivacyNotice, Response

SEES_ANSWERS = "surveys.view_response"


@dataclass(frozen=True)
class Version:
    number: int
    since: str
    answers: int
    is_current: bool
    texts: Sequence[tuple[str, str, str]]  # (tag, the language's name, text)


def notices_page(model_admin: Any, request: HttpRequest) -> HttpResponse:
    if not model_admin.has_view_permission(request):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    organisation = Organisation.current()
    # One pass over the answers for all versions: a count for each would read them as often as there are versions.
    rows = Response.objects.order_by().values("privacy_notice").annotate(count=Count("pk"))
    answers: dict[int | None, int] = {row["privacy_notice"]: row["count"] for row in rows}
    versions = [
        Version(
            number=notice.pk,
            since=moment(notice.created_at),
            answers=answers.get(notice.pk, 0),
            is_current=notice.pk == organisation.privacy_notice_id,
            texts=[(tag, language_name(tag), text) for tag, text in notice.texts.items() if text],
        )
        for notice in PrivacyNotice.objects.order_by("-pk")
    ]
    response: HttpResponse = model_admin.page(
        request,
        "staff/notices.html",
        title=_("Privacy notices"),
        original=organisation,
        versions=versions,
        without=answers.get(None, 0),
        section="notices",
    )
    return response
