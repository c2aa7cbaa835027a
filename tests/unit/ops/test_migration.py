"""Which migrations are to be applied, and when none may be."""

import pytest

from ops.kit.errors import DiffersError
from ops.migrate.plan import Applied, Migration, parse, plan
from ops.migrate.run import packaged_migrations

ONE, TWO, THREE = (Migration(number, f"m{number}", f"SELECT {number}") for number in (1, 2, 3))


def done(*migrations: Migration) -> list[Applied]:
    return [Applied(migration.version, migration.name, migration.checksum) for migration in migrations]


def test_files_are_parsed_in_order_of_their_numbers() -> None:
    parsed = parse([("0002_b.sql", "B"), ("__init__.py", ""), ("0001_a_first.sql", "A"), ("notes.sql", "")])

    assert [(item.version, item.name, item.sql, item.label) for item in parsed] == [
        (1, "a_first", "A", "0001_a_first"),
        (2, "b", "B", "0002_b"),
    ]


def test_two_files_with_one_number_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="0001"):
        parse([("0001_a.sql", ""), ("0001_b.sql", "")])


def test_the_packaged_files_are_found_and_numbered_without_gaps() -> None:
    versions = [migration.version for migration in packaged_migrations()]

    assert versions == list(range(1, len(versions) + 1))
    assert versions


def test_an_empty_database_gets_all() -> None:
    assert plan([ONE, TWO], []) == (ONE, TWO)


def test_what_is_applied_is_not_applied_again() -> None:
    assert plan([ONE, TWO], done(ONE)) == (TWO,)
    assert plan([ONE, TWO], done(ONE, TWO)) == ()


def test_a_changed_file_is_refused() -> None:
    with pytest.raises(DiffersError, match="0001_m1 was changed after it was applied"):
        plan([Migration(1, "m1", "SELECT 'other'")], done(ONE))


def test_a_newer_database_is_refused() -> None:
    with pytest.raises(DiffersError, match=r"0002_m2.*newer version"):
        plan([ONE], done(ONE, TWO))


def test_a_file_numbered_below_an_applied_one_is_refused() -> None:
    with pytest.raises(DiffersError, match="0002_m2 was left out"):
        plan([ONE, TWO, THREE], done(ONE, THREE))
