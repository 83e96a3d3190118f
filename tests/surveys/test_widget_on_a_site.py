"""Known customers and counted views, from a page of another origin to the rows: the real widget, endpoints, form and database."""

import jwt
import pytest
from django.utils import timezone

from surveys.flow.addresses import address_hash
from surveys.flow.identify import renew_secret
from surveys.models import Customer, IdentitySecret, Invitation, Response, Suppression, Touchpoint, WidgetCount
from tests.factories import make_customer
from tests.stack import until
from tests.surveys.test_embed import answer, card, form, host, shop, told, visit, withheld  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


def identify(sub: str = "C-1", seconds: int = 600) -> str:
    """What the site's page says before it loads the widget."""
    secret = (IdentitySecret.objects.first() or renew_secret(timezone.now())).secret
    token = jwt.encode({"sub": sub, "exp": int(timezone.now().timestamp()) + seconds}, secret, "HS256")
    return f'cx("identify", "{token}");'


def counts() -> dict[str, int]:
    return dict(WidgetCount.objects.values_list("event", "count"))


def test_a_known_customers_answer_is_theirs_with_what_the_page_said(visit):  # noqa: F811
    customer = make_customer("C-1", language="zh-hans", segment="gold")
    page = visit("""data-reference="cart-7" data-facts='{"items": 3}' data-location="sh-014" """, before=identify())
    told(page, "shown")
    assert form(page).locator("html").get_attribute("lang") == "zh-hans"  # the customer's language, on an English page
    row = Invitation.objects.get()
    assert (row.customer, row.mode, row.attempted_at is not None) == (customer, "web", True)
    answer(page, 9)
    until(Response.objects.exists, 10)
    response = Response.objects.get()
    assert (response.customer, response.invitation, response.mode, response.score) == (customer, row, "web", 9)
    assert (response.reference, response.facts, response.segment) == ("cart-7", {"items": 3}, "gold")
    assert response.location == "sh-014"
    until(lambda: counts() == {"shown": 1, "started": 1}, 10, lambda: str(counts()))
    # On another device nothing of this visit is known, but the server knows.
    again = visit(before=identify())
    assert withheld(again) == "resting_same"
    assert Invitation.objects.filter(status="withheld", reason="resting_same").count() == 1


def test_two_tabs_of_a_customer_show_one_invitation(visit):  # noqa: F811
    before = identify("N-1")
    addresses = set()
    for _tab in range(2):
        page = visit(before=before)
        told(page, "shown")
        addresses.add(page.locator("cx-survey iframe").get_attribute("src").split("?")[0])
    assert len(addresses) == 1
    assert (Invitation.objects.count(), Customer.objects.get().external_id) == (1, "N-1")


def test_who_unsubscribed_from_letters_is_left_alone_on_the_site(visit):  # noqa: F811
    make_customer("C-1", email="li@example.com")
    hashed = address_hash("li@example.com")
    Suppression.objects.create(address_hash=hashed, reason="unsubscribed", created_at=timezone.now())
    assert withheld(visit(before=identify())) == "unsubscribed"
    assert counts() == {}


def test_a_token_that_is_not_believed_shows_nothing_and_leaves_nothing(visit):  # noqa: F811
    assert withheld(visit(before=identify(seconds=-120))) == "expired_token"
    assert withheld(visit(before='cx("identify", "e30.e30.e30");')) == "unknown_token"
    assert not Invitation.objects.exists()
    assert not Customer.objects.exists()


def test_a_site_that_is_not_allowed_learns_nothing(visit, shop):  # noqa: F811
    before = identify()
    Touchpoint.objects.update(allowed_origins=["https://another.example.com"])
    assert withheld(visit(before=before, forgiven="CORS|Failed to load")) == "failed"
    assert not Invitation.objects.exists()


def test_views_are_counted_as_they_happen_and_a_test_is_not(visit):  # noqa: F811
    page = visit()
    told(page, "shown")
    until(lambda: counts() == {"shown": 1}, 10, lambda: str(counts()))
    card(page).locator("button").click()
    told(page, "dismissed")
    until(lambda: counts() == {"shown": 1, "dismissed": 1}, 10, lambda: str(counts()))
    tried = visit("data-test")
    told(tried, "shown")
    with tried.expect_response("**/embed.js"):  # whatever was to be told of the first page has been told by then
        tried.reload()
    assert counts() == {"shown": 1, "dismissed": 1}
