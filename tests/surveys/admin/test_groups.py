"""Who is let in where, and that staff's own changes of a group last."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.urls import reverse

from surveys.flow.groups import ADMINISTRATOR, ASKED, MANAGER, NAMES, VIEWER, labels, offer_permissions
from surveys.models import StandardGroup
from tests.surveys.admin.staff import sign_in_as

pytestmark = pytest.mark.django_db

CONFIGURED = ("journey", "touchpoint", "instrument", "invitationrule", "organisation")
ABOUT_PEOPLE = (
    *("customer", "response", "interactionevent", "quarantinedevent", "invitation", "deliveryattempt"),
    *("suppression", "suppressionlift", "consent", "ticket", "sentmessage", "watchernotice"),
)
SET_UP = ("surveys_apikey", "auth_user", "auth_group")


def lists(*names: str) -> list[str]:
    return [name if "_" in name else f"surveys_{name}" for name in names]


def permissions_of(key: str) -> set[str]:
    rows = StandardGroup.objects.get(key=key).group.permissions.select_related("content_type")
    return {f"{row.content_type.app_label}.{row.codename}" for row in rows}


@pytest.mark.parametrize("name", lists(*CONFIGURED, *ABOUT_PEOPLE, *SET_UP))
def test_a_viewer_is_refused_every_list(name):
    client = sign_in_as(VIEWER)
    assert client.get(reverse(f"admin:{name}_changelist")).status_code == 403
    add = client.get(reverse(f"admin:{name}_add"))
    assert add.status_code == 403


@pytest.mark.parametrize("name", lists(*SET_UP))
def test_a_manager_is_refused_users_groups_and_keys(name):
    client = sign_in_as(MANAGER)
    for path in (f"admin:{name}_changelist", f"admin:{name}_add"):
        assert client.get(reverse(path)).status_code == 403


@pytest.mark.parametrize("name", lists(*CONFIGURED, *ABOUT_PEOPLE))
def test_a_manager_opens_what_is_configured_and_what_people_said(name):
    response = sign_in_as(MANAGER).get(reverse(f"admin:{name}_changelist"), follow=True)
    assert response.status_code == 200


@pytest.mark.parametrize("name", lists(*CONFIGURED, *ABOUT_PEOPLE, *SET_UP))
def test_an_administrator_opens_everything(name):
    response = sign_in_as(ADMINISTRATOR).get(reverse(f"admin:{name}_changelist"), follow=True)
    assert response.status_code == 200


def test_a_viewer_has_scores_and_nothing_else():
    assert permissions_of(VIEWER) == {"metrics.view_scorecell"}
    assert sign_in_as(VIEWER).get("/admin/").status_code == 200


def test_every_list_of_the_admin_belongs_to_somebody():
    """A model that is registered later must be given to a group, or nobody but a superuser ever sees it."""
    ours = {f"{model._meta.app_label}.{model._meta.model_name}" for model in admin.site._registry}
    assert ours - ASKED.keys() == set()


def test_what_a_group_is_given_exists():
    rows = Permission.objects.select_related("content_type")
    there = {f"{row.content_type.app_label}.{row.codename}" for row in rows}
    assert set(labels(*ASKED)) <= there


def test_migrating_again_changes_nothing_and_never_gives_back():
    group = StandardGroup.objects.get(key=MANAGER).group
    taken = Permission.objects.get(codename="view_customer", content_type__app_label="surveys")
    group.permissions.remove(taken)
    group.permissions.add(Permission.objects.get(codename="view_user", content_type__app_label="auth"))
    before = {key: permissions_of(key) for key in NAMES}
    call_command("migrate", verbosity=0, interactive=False)
    assert {key: permissions_of(key) for key in NAMES} == before
    assert "surveys.view_customer" not in before[MANAGER]


def test_a_permission_that_is_new_is_given_once():
    standard = StandardGroup.objects.get(key=VIEWER)
    standard.offered = []
    standard.save()
    standard.group.permissions.clear()  # as if it had never been there
    offer_permissions()
    assert permissions_of(VIEWER) == {"metrics.view_scorecell"}
    standard.group.permissions.clear()
    offer_permissions()
    assert permissions_of(VIEWER) == set()


def test_a_deleted_group_stays_deleted():
    StandardGroup.objects.get(key=VIEWER).group.delete()
    offer_permissions()
    assert not Group.objects.filter(name=NAMES[VIEWER]).exists()


def test_a_renamed_group_is_not_made_twice():
    Group.objects.filter(name=NAMES[VIEWER]).update(name="Board")
    offer_permissions()
    assert sorted(Group.objects.values_list("name", flat=True)) == ["Administrator", "Board", "CX manager"]


def test_group_names_are_translated_on_screen_and_english_in_the_database():
    client = sign_in_as(ADMINISTRATOR)
    client.cookies["django_language"] = "zh-hans"
    shown = client.get(reverse("admin:auth_group_changelist")).content.decode()
    assert "客户体验经理" in shown
    assert "CX manager" not in shown
    assert Group.objects.filter(name="CX manager").exists()


def test_the_sidebar_holds_what_is_open_to_the_user():
    def links(key: str) -> str:
        response = sign_in_as(key).get("/admin/")
        return " ".join(str(item["link"]) for part in response.context["sidebar_navigation"] for item in part["items"])

    # The pages on scores, and no list of rows.
    assert links(VIEWER).startswith("/admin/ ")
    assert "/admin/quality/" in links(VIEWER)
    assert "/admin/surveys/" not in links(VIEWER)
    assert "/admin/surveys/touchpoint/" in links(MANAGER)
    assert "/admin/auth/user/" not in links(MANAGER)
    assert "/admin/auth/user/" in links(ADMINISTRATOR)


@pytest.mark.parametrize(("key", "is_linked"), [(VIEWER, False), (MANAGER, True)])
def test_every_page_says_that_nothing_leaves_this_machine(settings, key, is_linked):
    settings.CX_LOCAL_MAILBOX = True
    shown = sign_in_as(key).get("/admin/").content.decode()
    assert "Nothing leaves this machine" in shown
    assert (reverse("admin:surveys_sentmessage_changelist") in shown) is is_linked
    settings.CX_LOCAL_MAILBOX = False
    assert "Nothing leaves this machine" not in sign_in_as(key).get("/admin/").content.decode()


def test_a_user_without_a_group_gets_in_nowhere():
    client = sign_in_as()
    assert client.get("/admin/").status_code == 403
    assert client.get(reverse("admin:surveys_touchpoint_changelist")).status_code == 403
    assert User.objects.count() == 1
