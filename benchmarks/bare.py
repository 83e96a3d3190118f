"""The limit of `respond`: a bare Django view that parses the same body and does one INSERT. No validation, no look-up."""

from django.db import connection
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def answer(request: HttpRequest, token: str) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bench_answer (token, score, comment, at) VALUES (%s, %s, %s, now())",
            [token, int(request.POST["score"]), request.POST["comment"]],
        )
    return HttpResponseRedirect(f"/s/{token}/?done=1", status=303)


urlpatterns = [
    path("healthz", lambda request: HttpResponse("ok\n")),
    path("s/<str:token>/", answer),
]
