"""The limit of `form_view`: a bare Django view that renders the same template with the same context, made once. No look-up, no record."""

from functools import cache
from typing import Any
from unittest import mock

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.utils import translation

from surveys import views
from surveys.models import Invitation


@cache
def context() -> dict[str, Any]:
    """What the product's own view hands to its template for an open link."""
    found: dict[str, Any] = {}

    def take(_request: HttpRequest, _template: str, given: dict[str, Any], **_: Any) -> HttpResponse:
        found.update(given)
        return HttpResponse()

    token = Invitation.objects.values_list("token", flat=True)[0]
    request = HttpRequest()
    request.method, request.path = "HEAD", f"/s/{token}/"
    with mock.patch.object(views, "render", take):
        views.invited(request, token)
    return found


def form(request: HttpRequest, token: str) -> HttpResponse:
    with translation.override("en"):
        return render(request, "respondent/form.html", context())


urlpatterns = [path("healthz", lambda request: HttpResponse("ok\n")), path("s/<str:token>/", form)]
