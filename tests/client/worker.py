"""A program that uses the client, in a process of its own: `python -m tests.client.worker DESK URL FILE KIND COUNT …`.

The desk is asked at DESK, requests go to URL. KIND is `tasks` or `threads`. It says `ready`; for each line that it
reads it sends COUNT requests at once and says what came of them, as a JSON list of statuses and names of errors.

Further words say how: `unlocked` uses no lock file; `dies-holding` kills itself as soon as it holds the lock,
`dies-saving` before it saves what a refresh brought, `stops-saving` says `stopping` and stops there; `hasty` waits for
a lock one second only, `brief` holds it for less.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from frontdesk.client import Credentials, FileStorage, FrontdeskAuth, file_storage, keeper
from frontdesk.errors import FrontdeskError

PATIENCE = 60.0
REPEATS = 5


class Faulty(FileStorage):
    """A file storage that does what it is told at the worst moment."""

    how: frozenset[str]

    @contextmanager
    def lock(self, seconds: float, /) -> Iterator[bool]:
        if "unlocked" in self.how:
            yield False
            return
        with super().lock(seconds) as alone:
            if "dies-holding" in self.how:
                os.kill(os.getpid(), signal.SIGKILL)
            yield alone

    def save(self, credentials: Credentials, /) -> None:
        if "dies-saving" in self.how:
            os.kill(os.getpid(), signal.SIGKILL)
        if "stops-saving" in self.how:
            say("stopping")
            os.kill(os.getpid(), signal.SIGSTOP)
        super().save(credentials)


def say(words: object) -> None:
    print(words, flush=True)  # noqa: T201 - that is what the test reads


def outcome(answer: httpx.Response) -> int | str:
    return answer.status_code if answer.status_code == 200 else f"{answer.status_code} {answer.text}"


async def by_tasks(auth: FrontdeskAuth, url: str, count: int) -> list[int | str]:
    async with httpx.AsyncClient(auth=auth, base_url=url, timeout=PATIENCE, trust_env=False) as client:

        async def ask() -> int | str:
            for _ in range(REPEATS):
                try:
                    return outcome(await client.get("/auth/me"))
                except httpx.TransportError:
                    continue
                except FrontdeskError as error:
                    return f"{type(error).__name__} {error.code} {error}"
            return "gave up"

        return list(await asyncio.gather(*(ask() for _ in range(count))))


def by_threads(auth: FrontdeskAuth, url: str, count: int) -> list[int | str]:
    limits = httpx.Limits(max_connections=count)
    with (
        httpx.Client(auth=auth, base_url=url, timeout=PATIENCE, trust_env=False, limits=limits) as client,
        ThreadPoolExecutor(count) as threads,
    ):

        def ask(_: int) -> int | str:
            for _ in range(REPEATS):
                try:
                    return outcome(client.get("/auth/me"))
                except httpx.TransportError:
                    continue
                except FrontdeskError as error:
                    return f"{type(error).__name__} {error.code} {error}"
            return "gave up"

        return list(threads.map(ask, range(count)))


def main() -> None:
    desk, url, file, kind, count, *how = sys.argv[1:]
    storage = Faulty(file)
    storage.how = frozenset(how)
    if "hasty" in how:
        keeper.LOCK_SECONDS = 1.0  # type: ignore[misc]
    if "brief" in how:
        file_storage.HOLD_SECONDS = 0.9  # type: ignore[misc]
    auth = FrontdeskAuth(desk, storage=storage, origins=[url])
    say("ready")
    for _ in sys.stdin:
        if kind == "tasks":
            say(json.dumps(asyncio.run(by_tasks(auth, url, int(count)))))
        else:
            say(json.dumps(by_threads(auth, url, int(count))))


if __name__ == "__main__":
    main()
