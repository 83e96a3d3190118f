"""Staff pages under /admin/ that stand before the admin's own; the first of them takes the place of its index."""

from django.urls import path

from metrics import views

urlpatterns = [
    path("", views.overview, name="overview"),
    path("touchpoints/<slug:slug>/", views.touchpoint_page, name="touchpoint_page"),
]
