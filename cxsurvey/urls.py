"""Where each address leads. Apps mount their own."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from cxsurvey import health
from surveys.admin.why import search_view
from surveys.api.base import UnknownPathView

urlpatterns = [
    path("", include("surveys.urls")),  # first: nothing is asked for as often as a form
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("metrics", health.prometheus),
    path("i18n/", include("django.conf.urls.i18n")),
    path("admin/why/", admin.site.admin_view(search_view), name="why"),
    path("admin/", include("metrics.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/v1/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("api/v1/", include("surveys.api.urls")),
    path("api/v1/", include("metrics.api_urls")),
    path("api/v1/", UnknownPathView.as_view()),
    path("api/v1/<path:unknown>", UnknownPathView.as_view()),
]
