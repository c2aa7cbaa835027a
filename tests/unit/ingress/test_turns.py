"""How much is done in one turn of the event loop."""

import asyncio

from ingress.http.loop_budget import Turns


async def through(turns: Turns, work: int = 1) -> None:
    """As callers wait for room."""
    if not turns.take(work):
        await turns.turn(work)


async def test_work_is_let_through_in_order_and_so_much_in_one_turn() -> None:
    turns = Turns(2)
    done: list[list[int]] = [[]]

    async def work(number: int) -> None:
        await through(turns)
        done[-1].append(number)

    tasks = [asyncio.create_task(work(number)) for number in range(7)]
    while not all(task.done() for task in tasks):
        await asyncio.sleep(0)
        done.append([])

    assert [number for turn in done for number in turn] == list(range(7))
    assert max(len(turn) for turn in done) <= 2


async def test_what_is_larger_than_a_turn_is_let_through_alone() -> None:
    turns = Turns(2)

    assert turns.take(100)
    assert not turns.take()
    await asyncio.wait_for(through(turns), 5)


async def test_given_up_wait_takes_no_turn_from_the_others() -> None:
    turns = Turns(1)
    assert turns.take()
    given_up = asyncio.create_task(through(turns))
    waiting = asyncio.create_task(through(turns))
    await asyncio.sleep(0)
    given_up.cancel()

    await asyncio.wait_for(waiting, 5)


async def test_idle_turns_do_not_keep_the_loop_busy() -> None:
    turns = Turns(1)
    turns.take()
    for _ in range(5):
        await asyncio.sleep(0)

    assert not turns._turning
    assert turns.take()
