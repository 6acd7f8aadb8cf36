"""A second process on a database: `python -m tests.stores.sqlite_worker PATH COMMAND …`. Speaks in lines."""

from __future__ import annotations

import asyncio
import os
import sys
import threading

from frontdesk.errors import StoreError
from frontdesk.stores.sqlite import SQLiteStore
from frontdesk.testing.suite.harness import REALM, T0, a_session, sid


def say(line: str) -> None:
    """One line in one write, so that several processes may share a pipe."""
    os.write(1, f"{line}\n".encode())


async def obey(path: str) -> None:
    """`create N`, `end N`, `read N`: acts on the session of this number and says what came of it."""
    store = SQLiteStore(path)
    await store.open()
    say("ready")
    while line := await asyncio.to_thread(sys.stdin.readline):
        word, number = line.split()
        if word == "create":
            await store.create_session(a_session(int(number)), max_sessions=100, now=T0)
        elif word == "end":
            await store.end_session(REALM, sid(int(number)), reason="signed_out", now=T0)
        found = await store.read_session(REALM, sid(int(number)))
        say(f"{word} {number} {getattr(found, 'end_reason', 'absent')}")
    await store.close()


async def write(path: str, name: str, clients: int) -> None:
    """Write without pause, say each acknowledgement, until standard input is closed."""
    store = SQLiteStore(path)
    await store.open()
    stop = threading.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()
        stop.set()

    threading.Thread(target=wait_for_the_end, daemon=True).start()

    async def client(number: int) -> None:
        count = 0
        while not stop.is_set():
            key = f"{os.getpid()}-{number}-{count}"
            await store.put_once(REALM, name, key.encode(), b"v" * 100, expires_at=T0)
            say(f"{name} {key}")
            count += 1

    await asyncio.gather(*(client(number) for number in range(clients)))
    await store.close()


def fork(path: str) -> None:
    """Open, fork, and say what the child and then the parent get from each kind of call."""
    store = SQLiteStore(path)
    with asyncio.Runner() as runner:
        runner.run(store.open())
        runner.run(store.create_session(a_session(1), max_sessions=9, now=T0))
        child = os.fork()
        if child == 0:
            asyncio.run(_in_child(store, SQLiteStore(path)))
            os._exit(0)
        os.waitpid(child, 0)
        runner.run(_try("parent", store))
        runner.run(store.close())


async def _in_child(inherited: SQLiteStore, fresh: SQLiteStore) -> None:
    await _try("child", inherited)
    await inherited.close()
    await fresh.open()
    await _try("fresh", fresh)
    await fresh.close()


async def _try(who: str, store: SQLiteStore) -> None:
    for name, call in (
        ("peek", lambda: asyncio.to_thread(store.peek_session, REALM, sid(1))),
        ("read", lambda: store.list_sessions(REALM, "alice", T0)),
        ("write", lambda: store.touch_session(REALM, sid(1), T0)),
    ):
        try:
            await call()
        except StoreError as error:
            say(f"{who} {name} {error}")
        else:
            say(f"{who} {name} fine")


if __name__ == "__main__":
    path, command, *rest = sys.argv[1:]
    if command == "obey":
        asyncio.run(obey(path))
    elif command == "write":
        asyncio.run(write(path, rest[0], int(rest[1])))
    else:
        fork(path)
