"""REST addresses of the metrics, under /api/v1/."""

from django.urls import path

from metrics.api import MetricView
from metrics.lists_api import AlertsView, DecisionsView
from metrics.queries import METRICS

urlpatterns = [
    path(f"metrics/{metric}/", MetricView.as_view(metric=metric), name=f"metric-{metric}") for metric in METRICS
] + [
    path("alerts/", AlertsView.as_view(), name="api-alerts"),
    path("decisions/", DecisionsView.as_view(), name="api-decisions"),
]
