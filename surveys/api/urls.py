"""Routes under /api/v1/ that listening serves."""

from django.urls import path

from surveys.api.customers import CustomerExportView, CustomerView
from surveys.api.events import EventsView
from surveys.api.invitations import InvitationsView
from surveys.api.responses import InstrumentView, ResponsesView, ResponseView

urlpatterns = [
    path("events/", EventsView.as_view(), name="events"),
    path("customers/<path:external_id>/export/", CustomerExportView.as_view(), name="customer-export"),
    path("customers/<path:external_id>/", CustomerView.as_view(), name="customer"),
    path("invitations/", InvitationsView.as_view(), name="invitations"),
    path("responses/", ResponsesView.as_view(), name="responses"),
    path("responses/<uuid:client_id>/", ResponseView.as_view(), name="response"),
    path("instruments/<slug:slug>/", InstrumentView.as_view(), name="instrument"),
]
