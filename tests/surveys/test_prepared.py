"""Statements planned once per connection."""

import pytest
from django.db import NotSupportedError, connection, transaction

from surveys.flow.prepared import Prepared


def twice() -> Prepared:
    return Prepared("cx_test", "SELECT %(text)s || %(number)s, %(number)s", {"number": "int", "text": "text"})


def run(statement: Prepared, **values: object) -> tuple[object, ...]:
    with connection.cursor() as cursor:
        statement.execute(cursor, values)
        return cursor.fetchone()


@pytest.fixture(autouse=True)
def _forgotten():
    yield
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    connection.close()  # so that no statement of the product believes itself to be held


@pytest.mark.django_db(transaction=True)
def test_it_is_planned_once_and_run_with_values_by_name():
    statement = twice()
    assert run(statement, text="a", number=1) == ("a1", 1)
    assert run(statement, number=2, text="b'; DROP TABLE x; --") == ("b'; DROP TABLE x; --2", 2)
    with connection.cursor() as cursor:
        cursor.execute("SELECT generic_plans + custom_plans FROM pg_prepared_statements WHERE name LIKE 'cx_test%'")
        assert cursor.fetchall() == [(2,)]


@pytest.mark.django_db(transaction=True)
def test_a_new_connection_gets_its_own():
    statement = twice()
    run(statement, text="a", number=1)
    connection.close()
    assert run(statement, text="a", number=1) == ("a1", 1)


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_lost_it_behind_a_pooler_prepares_it_again():
    statement = twice()
    run(statement, text="a", number=1)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")
    assert run(statement, text="a", number=1) == ("a1", 1)


@pytest.mark.django_db(transaction=True)
def test_a_changed_table_behind_the_plan_is_planned_anew():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE cx_moved (one int)")
        cursor.execute("INSERT INTO cx_moved VALUES (1)")
    try:
        statement = Prepared("cx_test", "SELECT *, %(number)s FROM cx_moved", {"number": "int"})
        assert run(statement, number=1) == (1, 1)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE cx_moved ALTER one TYPE text")
        assert run(statement, number=1) == ("1", 1)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE cx_moved")


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_the_loss_is_its_owners_to_repeat_and_the_next_run_works():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE cx_moved (one int)")
    try:
        statement = Prepared("cx_test", "SELECT *, %(number)s FROM cx_moved", {"number": "int"})
        run(statement, number=1)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE cx_moved ALTER one TYPE text")
        with pytest.raises(NotSupportedError), transaction.atomic():
            run(statement, number=1)
        assert run(statement, number=1) is None
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE cx_moved")


@pytest.mark.django_db(transaction=True)
def test_any_other_error_is_the_callers():
    with pytest.raises(Exception, match="invalid input syntax"):
        run(twice(), text="a", number="no number")
