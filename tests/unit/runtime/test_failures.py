"""Errors that nobody expected, shown without what they quote."""

import pytest

from runtime.errors import RefusedError
from runtime.failures import problem_of, shown_traceback

SECRET = "+33612345678"


def unexpected() -> Exception:
    with pytest.raises(UnicodeEncodeError) as caught:
        f"€{SECRET}".encode("latin-1")
    return caught.value


def caused() -> Exception:
    try:
        raise unexpected()
    except UnicodeEncodeError as error:
        with pytest.raises(KeyError) as caught:
            raise KeyError(SECRET) from error
        return caught.value


def test_unexpected_error_is_told_by_its_class_and_place_only() -> None:
    words = problem_of(unexpected())

    assert words.startswith("unexpected UnicodeEncodeError at runtime/test_failures.py:")
    assert SECRET not in words


def test_our_own_error_speaks_for_itself() -> None:
    assert problem_of(RefusedError("look there")) == "look there"


def test_error_without_a_place_is_told_all_the_same() -> None:
    assert problem_of(KeyError("x")) == "unexpected KeyError at an unknown place"


def test_traceback_has_every_cause_and_no_value() -> None:
    shown = shown_traceback(caused())

    assert shown.index("UnicodeEncodeError") < shown.index("KeyError")
    assert "in unexpected" in shown
    assert SECRET not in shown
