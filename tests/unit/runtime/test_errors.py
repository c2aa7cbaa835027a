"""The errors, by what the one who catches them does next."""

import inspect

import pytest

from runtime import errors
from runtime.errors import (
    FencedError,
    LogUnavailableError,
    PipelineError,
    PublishError,
    RefusedError,
    StateBehindError,
    StateUnavailableError,
    TransientError,
)


@pytest.mark.parametrize("error", [StateUnavailableError, StateBehindError, LogUnavailableError, PublishError])
def test_what_passes_by_itself_is_transient(error: type[Exception]) -> None:
    assert issubclass(error, TransientError)


@pytest.mark.parametrize("error", [FencedError, RefusedError])
def test_what_trying_again_cannot_help_is_not_transient(error: type[Exception]) -> None:
    assert issubclass(error, PipelineError)
    assert not issubclass(error, TransientError)


def test_lost_claims_are_not_mistaken_for_an_absent_database() -> None:
    assert not issubclass(StateBehindError, StateUnavailableError)  # waiting would never heal it


def test_every_error_is_in_the_modules_tree() -> None:
    found = {name for name, kind in vars(errors).items() if inspect.isclass(kind)}

    assert errors.__doc__ is not None
    assert {name for name in found if name not in errors.__doc__} == set()
