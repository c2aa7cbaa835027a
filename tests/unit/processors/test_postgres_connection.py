"""Which connections to PostgreSQL others could read."""

import pytest

from processors.postgres_pool import exposed


@pytest.mark.parametrize(
    ("address", "encrypted", "wanted"),
    [
        ("10.0.0.7", False, True),
        ("fe80::1%eth0", False, True),
        ("10.0.0.7", True, False),
        ("127.0.0.1", False, False),
        ("::1", False, False),
        ("", False, False),
    ],
)
def test_only_a_plain_connection_to_another_machine_is_exposed(address: str, *, encrypted: bool, wanted: bool) -> None:
    assert exposed(address, encrypted=encrypted) is wanted
