"""REST addresses of the metrics, under /api/v1/."""

from django.urls import path

from metrics.api import MetricView
from metrics.queries import METRICS

urlpatterns = [
    path(f"metrics/{metric}/", MetricView.as_view(metric=metric), name=f"metric-{metric}") for metric in METRICS
]
