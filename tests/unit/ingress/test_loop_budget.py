"""How much is done in one turn of the event loop."""

import asyncio

from ingress.http.loop_budget import LoopBudget


async def through(budget: LoopBudget, work: int = 1) -> None:
    """As callers wait for room."""
    if not budget.take(work):
        await budget.wait(work)


async def test_work_is_let_through_in_order_and_so_much_in_one_turn() -> None:
    budget = LoopBudget(2)
    done: list[list[int]] = [[]]

    async def work(number: int) -> None:
        await through(budget)
        done[-1].append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(7)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        done.append([])

    assert [number for turn in done for number in turn] == list(range(7))
    assert max(len(turn) for turn in done) <= 2


async def test_what_is_larger_than_a_turn_is_let_through_alone() -> None:
    budget = LoopBudget(2)

    assert budget.take(100)
    assert not budget.take()
    await asyncio.wait_for(through(budget), 5)


async def test_given_up_wait_takes_no_turn_from_the_others() -> None:
    budget = LoopBudget(1)
    assert budget.take()
    given_up = asyncio.create_task(through(budget))
    waiting = asyncio.create_task(through(budget))
    await asyncio.sleep(0)
    given_up.cancel()

    await asyncio.wait_for(waiting, 5)


async def test_idle_turns_do_not_keep_the_loop_busy() -> None:
    budget = LoopBudget(1)
    budget.take()
    for _ in range(5):
        await asyncio.sleep(0)

    assert not budget._scheduled
    assert budget.take()
