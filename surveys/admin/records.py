"""What the lists and pages of recorded rows share: who may see what of a person, long lists, wrong addresses, small pieces of a page.

In: requests of staff. Out: lists of fifty and pages that only read. No model is registered here.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.contrib.admin import ShowFacets
from django.contrib.admin.exceptions import DisallowedModelAdminLookup
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import pgettext
from unfold.views import ChangeList

from surveys.admin.base import RecordAdmin
from surveys.models import Customer, Mode
from surveys.words import band_tone, band_word

SEES_PEOPLE = "surveys.view_customer"
SEES_ANSWERS = "surveys.view_response"
NOTHING = "–"
PER_PAGE = 50
COUNTED_TO = 10_000  # nobody turns two hundred pages, and counting ten million rows takes a second of each visit


# --- Pieces -----------------------------------------------------------------------------------------------------------


def chip(text: Any, tone: str = "quiet") -> SafeString:
    """A word in its colour. `tone`: worst, middle, best, going, quiet."""
    return format_html('<span class="rec-chip rec-{}">{}</span>', tone, text)


def moment(at: datetime | None) -> str:
    """On the organisation's clock, to the minute."""
    if at is None:
        return NOTHING
    return date_format(timezone.localtime(at), pgettext("date format of a moment", "j M Y, H:i"))


def link(obj: Model, text: Any) -> SafeString:
    """To an object's own page."""
    return format_html('<a class="rec-link" href="{}">{}</a>', page_of(obj), text)


def page_of(obj: Model) -> str:
    return reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[obj.pk])


def list_of(model: type[Model], query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query


def customer_name(customer: Customer) -> str:
    return _("Erased customer") if customer.erased_at else str(customer)


def customer_link(customer: Customer | None) -> SafeString | str:
    return NOTHING if customer is None else link(customer, customer_name(customer))


def mode_word(mode: str) -> str:
    return str(Mode(mode).label) if mode in Mode.values else mode or NOTHING


def score_chip(metric: str, points: int, score: int | None) -> SafeString | str:
    """The score and what it makes its customer, never the colour alone."""
    if score is None:
        return NOTHING
    tone = band_tone(metric, points, score)
    return format_html(
        '<span class="rec-score"><b>{}</b> {}</span>', score, chip(band_word(metric, points, score), tone or "quiet")
    )


def noted(request: HttpRequest, obj: Model, message: str, flag: int = CHANGE) -> None:
    """One line in the admin's history of `obj`."""
    LogEntry.objects.log_actions(request.user.pk or 0, [obj], flag, message, single_object=True)


# --- Lists ------------------------------------------------------------------------------------------------------------


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts at most COUNTED_TO rows, and says so where there are more."""

    template_name = "staff/pagination.html"

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        return rows.order_by()[:COUNTED_TO].count()

    @property
    def is_cut(self) -> bool:
        return self.count >= COUNTED_TO


class RecordList(ChangeList):  # type: ignore[misc]
    """A list under its own name, whose rows the admin may complete by one look-up for the whole page."""

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(request, *args, **kwargs)
        self.title = capfirst(self.opts.verbose_name_plural)

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows: list[Any] = list(self.result_list)  # type: ignore[has-type]
        self.model_admin.complete(rows)
        self.result_list = rows
        # The head of the page tells a number of results only where something narrows them, and it is known.
        if self.paginator.is_cut or not (self.has_active_filters or self.query):
            self.full_result_count = self.result_count


class PeopleAdmin(RecordAdmin):
    """Rows about people. Whoever may not view customers sees neither names nor addresses, and cannot search or filter by them."""

    needs: Sequence[str] = ()  # permissions beside the model's own, without which there is nothing to see
    personal_columns: Sequence[str] = ()
    personal_search: Sequence[str] = ()
    # Filters of links between pages that stand in no filter of the list.
    linked_by: Sequence[str] = ()
    page_template = ""
    # An empty list says what it will hold, and what to do.
    empty_text: Any = ""

    paginator = BoundedPaginator
    list_per_page = PER_PAGE
    list_max_show_all = 0
    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # a count per choice would read the whole table once per choice
    list_filter_submit = True
    empty_value_display = NOTHING
    ordering: Sequence[str] = ("-id",)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only the right to view: unlike in Django, the right to change or delete does not bring it."""
        return request.user.has_perms([f"{self.opts.app_label}.view_{self.opts.model_name}", *self.needs])

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_list_display(self, request: HttpRequest) -> list[str]:
        columns = super().get_list_display(request)
        return [name for name in columns if name not in self.hidden_columns(request)]

    def hidden_columns(self, request: HttpRequest) -> Iterable[str]:
        return () if request.user.has_perm(SEES_PEOPLE) else self.personal_columns

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        fields = list(super().get_search_fields(request))
        return fields + list(self.personal_search) if request.user.has_perm(SEES_PEOPLE) else fields

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RecordList]:
        return RecordList

    def complete(self, rows: list[Any]) -> None:
        """What one look-up can add to all rows of a page."""

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        """Only what a filter of the list offers: any other field would answer questions about what is hidden."""
        offered = [*self.linked_by]
        for entry in self.get_list_filter(request):
            if isinstance(entry, tuple | list):
                offered += [f"{entry[0]}__exact", f"{entry[0]}__id__exact", f"{entry[0]}_from", f"{entry[0]}_to"]
            else:
                offered.append(entry.parameter_name)
        if self.date_hierarchy:
            offered += [f"{self.date_hierarchy}__{part}" for part in ("year", "month", "day")]
        return lookup in offered

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """An address with a filter that makes no sense leads to the whole list, and says so."""
        try:
            return super().get_changelist_instance(request)
        except (DisallowedModelAdminLookup, IncorrectLookupParameters, ValueError, OverflowError) as error:
            if "e" in request.GET:
                raise
            messages.warning(request, _("This address asks for something that does not exist. Here is the whole list."))
            raise IncorrectLookupParameters from error

    # --- Pages --------------------------------------------------------------------------------------------------------

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        if obj is None:
            return self.missing(request, object_id)
        return self.page(request, self.page_template, **self.page_context(request, obj))

    def missing(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """To the first page, with a message that there is no such object."""
        response: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return response

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        raise NotImplementedError

    def page(self, request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        """One of our own pages in the admin's frame. `title` is its heading."""
        request.current_app = self.admin_site.name
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "subtitle": None}
        return TemplateResponse(request, template, frame | context, status=status)

    def need(self, request: HttpRequest, permission: str) -> None:
        """PermissionDenied for whoever may not see these rows, or lacks `permission`."""
        if not (self.has_view_permission(request) and request.user.has_perm(permission)):
            raise PermissionDenied

    def asked_for(self, request: HttpRequest, object_id: str, permission: str) -> Any:
        """The object of an action's address; None where there is no such object. PermissionDenied as `need`."""
        self.need(request, permission)
        return self.get_object(request, unquote(object_id))
