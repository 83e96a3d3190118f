"""API keys are shown once; staff give nobody more than they have."""

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse

from surveys.flow.groups import ADMINISTRATOR, VIEWER
from surveys.models import ApiKey, StandardGroup
from tests.factories import make_api_key, make_organisation
from tests.surveys.admin.staff import errors_in, fields_of, send, sign_in_as

pytestmark = pytest.mark.django_db
KEYS = "admin:surveys_apikey"


@pytest.fixture
def administrator():
    make_organisation()
    return sign_in_as(ADMINISTRATOR)


# --- Keys -------------------------------------------------------------------------------------------------------------


def make_key(client, **changes):
    data = {"name": "Shop", "scopes": ["metrics:read", "events:write"], **changes}
    return send(client, reverse(f"{KEYS}_add"), **data)


def test_a_new_key_is_shown_once_and_works(administrator, client):
    response = make_key(administrator)
    key = response.context["key"]
    row = ApiKey.objects.get()
    assert key in response.content.decode()
    assert "no-store" in response["Cache-Control"]
    assert "messages" not in response.cookies
    assert row.scopes == ["events:write", "metrics:read"]
    got = client.get("/api/v1/metrics/nps/", headers={"authorization": f"Bearer {key}"})
    assert got.status_code == 200
    for path in (reverse(f"{KEYS}_changelist"), reverse(f"{KEYS}_change", args=[row.pk]), "/admin/"):
        assert key not in administrator.get(path).content.decode()
    entry = LogEntry.objects.get()
    assert key not in f"{entry.object_repr}{entry.change_message}"


@pytest.mark.parametrize("changes", [{"scopes": []}, {"scopes": ["everything"]}, {"name": ""}, {"name": "x" * 51}])
def test_a_key_needs_a_name_and_scopes(administrator, changes):
    assert errors_in(make_key(administrator, **changes))
    assert not ApiKey.objects.exists()


def test_a_key_can_be_narrowed(administrator):
    make_api_key("events:write", "metrics:read")
    row = ApiKey.objects.get()
    response = send(administrator, reverse(f"{KEYS}_change", args=[row.pk]), scopes=["metrics:read"])
    assert response.status_code == 302, errors_in(response)
    assert ApiKey.objects.get().scopes == ["metrics:read"]


def test_a_revoked_key_is_refused_at_once_and_stays_revoked(administrator, client):
    key = make_api_key("metrics:read")
    row = ApiKey.objects.get()
    path = reverse(f"{KEYS}_revoke", args=[row.pk])
    assert "cannot be undone" in administrator.get(path).content.decode()
    assert not ApiKey.objects.get().revoked
    assert administrator.post(path).status_code == 302
    assert client.get("/api/v1/metrics/nps/", headers={"authorization": f"Bearer {key}"}).status_code == 401
    assert LogEntry.objects.get().change_message
    here = reverse(f"{KEYS}_change", args=[row.pk])
    assert not {"name", "scopes"} & fields_of(administrator.get(here).content.decode()).keys()
    administrator.post(path)
    assert LogEntry.objects.count() == 1


def test_a_key_in_use_is_revoked_before_it_is_deleted(administrator):
    make_api_key("metrics:read")
    row = ApiKey.objects.get()
    path = reverse(f"{KEYS}_delete", args=[row.pk])
    assert administrator.post(path, {"post": "yes"}).status_code == 403
    administrator.post(reverse(f"{KEYS}_revoke", args=[row.pk]))
    assert administrator.post(path, {"post": "yes"}).status_code == 302
    assert not ApiKey.objects.exists()


def test_the_librarys_own_empty_list_of_keys_is_not_there(administrator):
    assert sign_in_as(superuser=True).get("/admin/rest_framework_api_key/apikey/").status_code == 404


# --- Users ------------------------------------------------------------------------------------------------------------


def test_a_new_user_can_log_in_and_do_what_the_group_may(administrator, client):
    group = StandardGroup.objects.get(key=VIEWER).group
    secret = "tea-and-harbour-9"
    response = send(
        administrator, reverse("admin:auth_user_add"), username="wei", first_name="Wei", email="wei@example.com",
        password1=secret, password2=secret, groups=[str(group.pk)],
    )  # fmt: skip
    assert response.status_code == 302, errors_in(response)
    row = User.objects.get(username="wei")
    assert (row.is_staff, row.is_superuser, list(row.groups.all())) == (True, False, [group])
    posted = client.post(reverse("admin:login"), {"username": "wei", "password": secret})
    assert posted.status_code == 302
    assert client.get("/admin/").status_code == 200
    assert client.get(reverse("admin:surveys_customer_changelist")).status_code == 403


@pytest.mark.parametrize("secret", ["", "short", "password123", "1234567890"])
def test_a_weak_password_is_refused(administrator, secret):
    fields = {"username": "wei", "password1": secret, "password2": secret}
    assert errors_in(send(administrator, reverse("admin:auth_user_add"), **fields))
    assert not User.objects.filter(username="wei").exists()


def test_an_administrator_neither_makes_nor_touches_a_superuser(administrator):
    root = User.objects.create_superuser("root", password="x")
    there = reverse("admin:auth_user_change", args=[root.pk])
    assert administrator.post(there, {"username": "root", "is_active": ""}).status_code == 403
    assert administrator.post(reverse("admin:auth_user_password_change", args=[root.pk]), {}).status_code == 403
    assert administrator.post(reverse("admin:auth_user_delete", args=[root.pk]), {"post": "yes"}).status_code == 403
    here = reverse("admin:auth_user_change", args=[administrator.user.pk])
    assert send(administrator, here, is_superuser="on", is_staff="on", user_permissions=["1"]).status_code == 302
    own = User.objects.get(pk=administrator.user.pk)
    assert (own.is_superuser, own.user_permissions.count()) == (False, 0)


def test_who_left_a_history_is_switched_off_and_not_deleted(administrator):
    gone, idle = sign_in_as(ADMINISTRATOR), sign_in_as(VIEWER)
    make_key(gone)
    path = reverse("admin:auth_user_delete", args=[gone.user.pk])
    assert administrator.post(path, {"post": "yes"}).status_code == 403
    assert LogEntry.objects.filter(user=gone.user).exists()
    path = reverse("admin:auth_user_delete", args=[idle.user.pk])
    assert administrator.post(path, {"post": "yes"}).status_code == 302
    here = reverse("admin:auth_user_change", args=[gone.user.pk])
    assert send(administrator, here, is_active=None).status_code == 302
    assert gone.get("/admin/").status_code == 302


def test_nobody_locks_themselves_out(administrator):
    here = reverse("admin:auth_user_change", args=[administrator.user.pk])
    assert "your own access" in errors_in(send(administrator, here, is_active=None))
    assert administrator.post(reverse("admin:auth_user_delete", args=[administrator.user.pk])).status_code == 403
    root = sign_in_as(superuser=True)
    here = reverse("admin:auth_user_change", args=[root.user.pk])
    assert "your own access" in errors_in(send(root, here, is_superuser=None))


def test_a_groups_rights_are_boxes_and_a_standard_name_is_fixed(administrator):
    group = StandardGroup.objects.get(key=VIEWER).group
    path = reverse("admin:auth_group_change", args=[group.pk])
    fields = fields_of(administrator.get(path).content.decode())
    assert len(fields["permissions"]) == 1
    assert "name" not in fields
    assert send(administrator, path, permissions=[], name="Other").status_code == 302
    group.refresh_from_db()
    assert (group.name, group.permissions.count()) == ("Viewer", 0)
    assert json.loads(LogEntry.objects.get().change_message)
    made = send(administrator, reverse("admin:auth_group_add"), name="Board", permissions=fields["permissions"])
    assert made.status_code == 302, errors_in(made)
