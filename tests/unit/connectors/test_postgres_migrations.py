"""Migrations are told apart by their numbers: two files of one number would leave one of them out."""

from connectors.postgres.migrations import known_migrations


def test_numbers_are_consecutive():
    numbers = [migration.number for migration in known_migrations()]

    assert numbers == list(range(1, len(numbers) + 1))
