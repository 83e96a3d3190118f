"""Staff pages under /admin/ that stand before the admin's own; the first of them takes the place of its index."""

from django.urls import path

from metrics import funnel_views, views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("touchpoints/<slug:slug>/", views.touchpoint_page, name="touchpoint_page"),
    path("response/", funnel_views.response_page, name="response"),
    path("response/<slug:page>/", funnel_views.response_page, name="response_page"),
    path("response/<slug:page>/<slug:table>.csv", funnel_views.response_csv, name="response_csv"),
]
