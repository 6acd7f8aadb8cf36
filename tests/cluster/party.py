"""What the clients of a cluster do all the while, in one process, bounded in time and drawn from a seed.

- **Keepers** sign in once and stay: they check, and refresh more often than they need to. Those with cookies are
  browsers with several tabs on one jar, each tab at a node of its own, so that one that hangs stops no other. Nobody
  may ever sign them out, but with everybody.
- **Leavers** come and go: they sign in, work a while, are ended by themselves, by another device of the same person,
  with everything of that person, or by an administrator, and then try for a while whether any node still lets them in.
- An **administrator** gives up the key of somebody's access token now and then. That ends no session.

When all is calm, every client shows at every node what it holds, the newest refresh token too, and what it held before:
the judge wants to see that nothing was lost.

`python -m tests.cluster.party PLAN` says `ready` when the keepers are signed in, goes on until it reads `calm`, and
says `done` at its end. It gives up when its standard input ends, and after the plan's limit.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from tests.cluster.clients import PASSWORD, Answer, Credential, Device, Door, Holding, Person, Transport, Wire
from tests.cluster.history import Recorder, Target

Way = Literal["itself", "companion", "everything", "ordered", "everything ordered"]
"""Who ends a leaver's session: the client, another device of that person, or an administrator; `everything` of it."""

_WAYS: Final[tuple[Way, ...]] = ("itself", "companion", "everything")
_ORDERED: Final[tuple[Way, ...]] = ("ordered", "everything ordered")
_KINDS: Final[tuple[tuple[Credential, Transport], ...]] = (
    ("session", "cookie"),
    ("jwt", "bearer"),
    ("jwt", "cookie"),
    ("session", "bearer"),
    ("jwe", "cookie"),
    ("jwe", "bearer"),
)
_TABS: Final = 3
_PAUSE: Final = (0.03, 0.12)
"""Seconds between two requests of one tab."""
_INSISTENCE: Final = (0.2, 0.5)
"""The same between two rounds of one that presents what has ended, which waits for no answer."""
_REST: Final = (0.5, 1.0)
"""The same between the end of one session of a leaver and the beginning of the next."""
_REFRESHES: Final = 0.2
"""The part of a keeper's requests that are refreshes."""
_WATCH: Final = 1.0
"""Seconds, beside the bound, for which a client presents what has ended."""
_REFRESHABLE: Final = frozenset({"token_expired", "credential_invalid"})
"""Refusals of an access token that is over, or whose key is gone."""
_GIVES_UP: Final = (1.5, 3.0)
"""Seconds between two keys that are given up."""


class Plan(msgspec.Struct, frozen=True):
    """What is to be done. Spans in seconds; `bound` is `max_staleness`, `limit` the time after which it gives up.

    `administrator`: the credential of a service that may revoke; "": there is none.
    """

    directory: str
    doors: tuple[Door, ...]
    seed: int
    grace: float
    bound: float = 0.0
    recovery: float = 10.0
    patience: float = 3.0
    limit: float = 120.0
    keepers: int = 6
    leavers: int = 6
    credentials: tuple[Credential, ...] = ("session", "jwt", "jwe")
    transports: tuple[Transport, ...] = ("cookie", "bearer")
    administrator: str = ""


class Party:
    """All clients of one plan."""

    def __init__(self, plan: Plan, wire: Wire) -> None:
        self._plan = plan
        self._wire = wire
        self._kinds = [kind for kind in _KINDS if kind[0] in plan.credentials and kind[1] in plan.transports]
        self._calm = asyncio.Event()
        self._keepers: list[_Keeper] = []
        self._leavers: list[_Leaver] = []

    def calm(self) -> None:
        """The faults are over: everybody finishes what he is at."""
        self._calm.set()

    async def arrive(self) -> None:
        """Before any fault: accounts for all, and the keepers sign in."""
        watch = self._plan.bound + _WATCH
        for number in range(self._plan.keepers):
            device = self._device(f"keeper-{number}", await self._register(f"keeper-{number}", number), number)
            self._keepers.append(_Keeper(device, self._calm, watch))
        for number in range(self._plan.leavers):
            person = await self._register(f"leaver-{number}", self._plan.keepers + number)
            leaver = self._device(f"leaver-{number}", person, number)
            companion = self._device(f"companion-{number}", person, number + 1)
            ways = (*_WAYS, *_ORDERED) if self._plan.administrator else _WAYS
            self._leavers.append(_Leaver(leaver, companion, self._calm, watch, ways))
        await _all(keeper.device.sign_in() for keeper in self._keepers)

    async def work(self) -> None:
        """Until all is calm."""
        work = [*(keeper.stay() for keeper in self._keepers), *(leaver.come_and_go() for leaver in self._leavers)]
        if self._plan.administrator:
            devices = [keeper.device for keeper in self._keepers]
            work.append(_Administrator(self._wire, devices, self._calm, self._plan.seed).give_up_keys())
        await _all(work)

    async def show(self) -> None:
        """Everything that anybody holds or held, at every node. Who gets no verdict in time lacks the proof."""
        clock = asyncio.get_running_loop().time
        proof = _Proof(clock, clock() + self._plan.recovery + self._plan.patience)
        devices = [keeper.device for keeper in self._keepers]
        devices += [device for leaver in self._leavers for device in (leaver.device, leaver.companion)]
        await _all(proof.show(device) for device in devices)

    def _device(self, name: str, person: Person, number: int) -> Device:
        credential, transport = self._kinds[number % len(self._kinds)]
        # Not by the number alone, so that each kind is at home at several nodes.
        home = number + number // len(self._kinds)
        seed = self._plan.seed
        return Device(name, self._wire, person, credential=credential, transport=transport, seed=seed, home=home)

    async def _register(self, name: str, number: int) -> Person:
        email, address = f"{name}@example.com", f"198.51.100.{number + 1}"
        body = {"email": email, "password": PASSWORD}
        answer = await self._wire.ask(name, self._wire.doors[0], "register", body=body, address=address)
        if not answer.accepted:
            raise RuntimeError(f"{email} could not be registered: {answer.status} {answer.code}")
        return Person(email, address, str(answer.body["subject"]))


class _Keeper:
    """Stays signed in, in several tabs where it has a jar."""

    def __init__(self, device: Device, calm: asyncio.Event, watch: float) -> None:
        self.device = device
        self._calm = calm
        self._watch = watch
        self._signing_in = asyncio.Lock()

    async def stay(self) -> None:
        holding = self.device.holding
        tabs = _TABS if holding is not None and holding.transport == "cookie" else 1
        async with asyncio.TaskGroup() as group:
            for number in range(tabs):
                group.create_task(self._tab(self.device.door(number), group))

    async def _tab(self, door: Door, group: asyncio.TaskGroup) -> None:
        while not self._calm.is_set():
            await self.device.wait(*_PAUSE)
            async with self._signing_in:
                # Its session ended with everybody's, or a promise was broken: it goes on, for the judge to see more.
                holding = self.device.holding or await self.device.sign_in()
            if self.device.random.random() < _REFRESHES:
                answer = await self.device.refresh(holding, door)
            else:
                answer = await _use(self.device, holding, door)
            if answer.status == 401 and self.device.holding is holding:
                self.device.retire()
                group.create_task(_insist(self.device, holding, self._watch, self._calm))


class _Leaver:
    """Signs in, is ended, tries to get in again."""

    def __init__(
        self, device: Device, companion: Device, calm: asyncio.Event, watch: float, ways: Sequence[Way]
    ) -> None:
        self.device = device
        self.companion = companion
        self._calm = calm
        self._watch = watch
        self._ways = ways
        self._random = device.random

    async def come_and_go(self) -> None:
        async with asyncio.TaskGroup() as group:
            while not self._calm.is_set():
                for device, held in await self._visit():
                    group.create_task(_insist(device, held, self._watch, self._calm))

    async def _visit(self) -> list[tuple[Device, Holding]]:
        """Come, work and go; what is over then."""
        holding = self.device.holding or await self.device.sign_in()
        other = self.companion.holding or await self.companion.sign_in()
        for _ in range(self._random.randint(3, 10)):
            await self.device.wait(*_PAUSE)
            await _use(self.device, holding, self.device.door())
        way = self._random.choice(self._ways)
        await self._end(way, holding, other)
        gone = [(self.device, holding)]
        self.device.retire()
        if way.startswith("everything"):
            gone.append((self.companion, other))
            self.companion.retire()
        await self.device.wait(*_REST)
        return gone

    async def _end(self, way: Way, holding: Holding, other: Holding) -> None:
        """Ask for the end until it is certain, or sometimes not: then nobody knows."""
        everything = way.startswith("everything")
        target = Target("subject", holding.subject) if everything else Target("session", holding.session)
        device, own = (self.companion, other) if way == "companion" else (self.device, holding)
        while True:
            answer = await (device.order(target) if way in _ORDERED else device.end(own, target))
            if answer.code in _REFRESHABLE:
                answer = await device.refresh(own)
                if answer.accepted:
                    continue
            if answer.decided or self._random.random() < 0.3:
                if way == "companion" and answer.status == 401:
                    self.companion.retire()
                return
            await device.wait(*_PAUSE)


class _Administrator:
    """Gives up keys that somebody uses."""

    def __init__(self, wire: Wire, devices: Sequence[Device], calm: asyncio.Event, seed: int) -> None:
        self._wire = wire
        self._devices = devices
        self._calm = calm
        self._random = random.Random(f"{seed}/administrator")

    async def give_up_keys(self) -> None:
        while not self._calm.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._random.uniform(*_GIVES_UP)):
                    await self._calm.wait()
                    return
            held = [device.holding.key for device in self._devices if device.holding is not None]
            key = self._random.choice([key for key in held if key] or [""])
            if key:
                desks = [door for door in self._wire.doors if door.desk]
                await self._wire.order("administrator", self._random.choice(desks), Target("key", key))


class _Proof:
    """Asks until there is a verdict, or until it is too late."""

    def __init__(self, clock: Callable[[], float], deadline: float) -> None:
        self._clock = clock
        self._deadline = deadline

    async def show(self, device: Device) -> None:
        if device.holding is not None:
            await self._show(device, device.holding)
        for holding in device.retired:
            await self._show(device, holding)

    async def _show(self, device: Device, holding: Holding) -> None:
        if holding.refresh:
            await self._ask(device, lambda: device.refresh(holding))
        for door in device.doors:
            await self._ask(device, lambda door=door: _use(device, holding, door))  # type: ignore[misc]

    async def _ask(self, device: Device, request: Callable[[], Awaitable[Answer]]) -> None:
        while not (await request()).decided and self._clock() < self._deadline:
            await device.wait(*_PAUSE)


async def _insist(device: Device, holding: Holding, seconds: float, calm: asyncio.Event) -> None:
    """Present what has ended at every node, again and again, whether or not it has answered before: one that hangs is
    asked all the same."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    async with asyncio.TaskGroup() as group:
        if holding.refresh:
            group.create_task(device.refresh(holding))
        while clock() < until and not calm.is_set():
            for door in device.doors:
                group.create_task(device.check(holding, door))
            await device.wait(*_INSISTENCE)


async def _use(device: Device, holding: Holding, door: Door | None = None) -> Answer:
    """A protected request; when the access token is over or its key is gone, a refresh and the request again."""
    answer = await device.check(holding, door)
    if answer.status == 401 and holding.refresh and answer.code in _REFRESHABLE:
        refreshed = await device.refresh(holding, door)
        return await device.check(holding, door) if refreshed.accepted else refreshed
    return answer


async def _all(coroutines: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Run them at once; the first failure ends all."""
    async with asyncio.TaskGroup() as group:
        for coroutine in coroutines:
            group.create_task(coroutine)


# --- the process ----------------------------------------------------------------------------------------------


async def _main(plan: Plan) -> None:
    loop = asyncio.get_running_loop()
    words = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin.buffer)
    with Recorder(Path(plan.directory), "clients") as recorder:
        wire = Wire(plan.doors, recorder, grace=plan.grace, patience=plan.patience, administrator=plan.administrator)
        try:
            async with asyncio.timeout(plan.limit):
                await _run(Party(plan, wire), words)
        finally:
            await wire.close()


async def _run(party: Party, words: asyncio.StreamReader) -> None:
    await party.arrive()
    _say("ready")
    work = asyncio.create_task(party.work())
    hearing = asyncio.create_task(words.readline())
    await asyncio.wait({work, hearing}, return_when=asyncio.FIRST_COMPLETED)
    if not hearing.done():
        hearing.cancel()
    elif not hearing.result():
        work.cancel()  # the test is gone
        await asyncio.wait({work})
        return
    party.calm()
    await work
    await party.show()
    _say("done")


def _say(word: str) -> None:
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_main(msgspec.json.decode(sys.argv[1], type=Plan)))
