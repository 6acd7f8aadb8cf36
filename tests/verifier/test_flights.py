"""Single flight: answers are shared, and never older than the call that gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from frontdesk.errors import OverloadedError, StoreError
from frontdesk.verifier.flights import Flights


class Desk:
    """Answers when it is told to, with what was true when the question arrived."""

    def __init__(self) -> None:
        self.truth = 0
        self.asked: list[asyncio.Event] = []

    async def ask(self) -> int:
        answered = asyncio.Event()
        self.asked.append(answered)
        truth = self.truth
        await answered.wait()
        return truth


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def play() -> None:
        async with asyncio.timeout(10):
            await scenario()

    asyncio.run(play())


def test_a_crowd_that_asks_at_once_is_answered_by_one_question() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int]()
        crowd = [asyncio.create_task(flights.ask("k", desk.ask)) for _ in range(50)]
        await turns()
        assert len(desk.asked) == 1
        desk.asked[0].set()
        assert await asyncio.gather(*crowd) == [0] * 50
        assert flights.questions == 1

    run(scenario)


def test_whoever_comes_after_a_question_was_sent_gets_the_next_answer() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int]()
        early = asyncio.create_task(flights.ask("k", desk.ask))
        await turns()
        desk.truth = 1
        late = [asyncio.create_task(flights.ask("k", desk.ask)) for _ in range(20)]
        await turns()
        assert len(desk.asked) == 1, "the second question waits for the first"
        desk.asked[0].set()
        assert await early == 0
        await turns()
        desk.truth = 2
        later = asyncio.create_task(flights.ask("k", desk.ask))
        desk.asked[1].set()
        assert await asyncio.gather(*late) == [1] * 20
        await turns()
        desk.asked[2].set()
        assert await later == 2

    run(scenario)


def test_keys_do_not_wait_for_each_other_but_no_more_than_so_many_are_asked_at_once() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int](most_at_once=3)
        crowd = [asyncio.create_task(flights.ask(str(number), desk.ask)) for number in range(5)]
        await turns()
        assert len(desk.asked) == 3
        desk.asked[0].set()
        await turns()
        assert len(desk.asked) == 4
        for answered in desk.asked:
            answered.set()
        await turns()
        for answered in desk.asked:
            answered.set()
        assert await asyncio.gather(*crowd) == [0] * 5

    run(scenario)


def test_more_callers_than_may_wait_are_turned_away_at_once() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int](most_waiting=2)
        crowd = [asyncio.create_task(flights.ask("k", desk.ask)) for _ in range(2)]
        await turns()
        with pytest.raises(OverloadedError):
            await flights.ask("k", desk.ask)
        desk.asked[0].set()
        assert await asyncio.gather(*crowd) == [0, 0]

    run(scenario)


def test_questions_that_wait_too_long_for_their_turn_are_turned_away_and_no_turn_is_lost() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int](most_at_once=2, patience=0.05)
        keys = [*(str(number) for number in range(8)), "0", "0"]
        crowd = [asyncio.create_task(flights.ask(key, desk.ask)) for key in keys]
        await turns()
        later = asyncio.create_task(flights.ask("0", desk.ask))  # waits for the question that was sent before
        outcomes = await asyncio.gather(*crowd[2:8], later, return_exceptions=True)
        assert [type(each) for each in outcomes] == [OverloadedError] * 7
        assert len(desk.asked) == 2
        for answered in desk.asked:
            answered.set()
        assert await asyncio.gather(*crowd[:2], *crowd[8:]) == [0] * 4
        again = [asyncio.create_task(flights.ask(key, desk.ask)) for key in ("a", "b")]
        await turns()
        assert len(desk.asked) == 4
        for answered in desk.asked:
            answered.set()
        assert await asyncio.gather(*again) == [0] * 2

    run(scenario)


def test_a_fault_reaches_everybody_who_shared_it_and_the_next_question_is_asked_anew() -> None:
    async def scenario() -> None:
        flights = Flights[int]()

        async def fail() -> int:
            await asyncio.sleep(0)
            raise StoreError("away")

        outcomes = await asyncio.gather(*(flights.ask("k", fail) for _ in range(3)), return_exceptions=True)
        assert [type(each) for each in outcomes] == [StoreError] * 3

        async def answer() -> int:
            return 7

        assert await flights.ask("k", answer) == 7

    run(scenario)


def test_a_caller_that_is_cancelled_leaves_the_question_to_the_others() -> None:
    async def scenario() -> None:
        desk, flights = Desk(), Flights[int]()
        first = asyncio.create_task(flights.ask("k", desk.ask))
        other = asyncio.create_task(flights.ask("k", desk.ask))
        await turns()
        first.cancel()
        await turns()
        desk.asked[0].set()
        assert await other == 0
        assert first.cancelled()

    run(scenario)


def test_a_question_that_nobody_waits_for_any_more_may_fail_in_silence() -> None:
    async def scenario() -> None:
        flights, sent = Flights[int](), asyncio.Event()

        async def fail() -> int:
            await sent.wait()
            raise StoreError("away")

        only = asyncio.create_task(flights.ask("k", fail))
        await turns()
        only.cancel()
        await turns()
        sent.set()
        await turns()

    run(scenario)


def test_each_event_loop_asks_for_itself() -> None:
    flights = Flights[int]()

    async def answer() -> int:
        return 1

    for _ in range(3):
        assert asyncio.run(flights.ask("k", answer)) == 1
    assert flights.questions == 3
