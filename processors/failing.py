"""Logs an error that a partition's pipeline raised, and makes a problem of it for readiness, metrics and `lag`."""

from typing import TypeAlias

from processors.lag import PartitionProblem, ProblemKind
from runtime.errors import RefusedError, TransientError
from runtime.failures import problem_of, shown_traceback
from runtime.logs import logger

#: Unexpected errors, by partition and words, whose traceback the log has.
Told: TypeAlias = set[tuple[int, str]]

log = logger(__name__)


def tell_failure(number: int, error: BaseException, wait: float, told: Told) -> PartitionProblem:
    """Log the error of a partition that is tried again in `wait` seconds: the lines that it passed, but once."""
    problem = PartitionProblem(problem_of(error), kind_of(error))
    fields = {"partition": number, "reason": problem.words, "retry_in": wait}
    if problem.kind is ProblemKind.WAITS:
        log.warning("partition.retry", **fields)
    elif problem.kind is ProblemKind.REFUSED or (number, problem.words) in told:
        log.error("partition.stands_still", **fields)
    else:
        told.add((number, problem.words))
        log.error("partition.stands_still", **fields, exception=shown_traceback(error))
    return problem


def kind_of(error: BaseException) -> ProblemKind:
    """Tells who must act: nobody, an operator or a developer."""
    match error:
        case TransientError():
            return ProblemKind.WAITS
        case RefusedError():
            return ProblemKind.REFUSED
        case _:
            return ProblemKind.UNEXPECTED
