"""A real PostgreSQL of its own: on a private port, in a temporary directory, gone when its owner is gone.

Usable without pytest, too::

    with PostgreSQL(find_postgresql()) as server:
        store = PostgreSQLStore(asyncio.run(server.new_database()))
"""

from __future__ import annotations

import os
import pwd
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from frontdesk.stores.postgresql import PostgreSQLStore
from tests.servers.spawning import PATIENCE, free_port, wait_until

ROLE: Final = "desk"
"""The role of the stores: it owns its databases and is nothing else."""

PASSWORD: Final = "horse@staple/of:the-desk"
"""Asked for over TCP only, and with everything in it that a URL must escape."""

# Collation is ICU's, so that a text which rests on the order of bytes and does not say so is found out.
_INITDB: Final = ("--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en", "--no-sync")

_SETTINGS: Final = {
    "autovacuum": "off",
    "dynamic_shared_memory_type": "mmap",  # in the directory, where it goes with everything else
    "logging_collector": "off",
    "max_connections": "100",
    "shared_buffers": "32MB",
    "ssl": "off",
}
_FAST: Final = {"fsync": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0"}
_DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "wal_level": "replica", "max_wal_senders": "4"}

# Ends the server when whoever started it ended without a word, also when the server was stopped by a signal.
_WATCHDOG: Final = r"""
directory=$1
if ! read -r word; then
    pid=$(sed -n 1p "$directory/data/postmaster.pid" 2>/dev/null)
    if [ -n "$pid" ] && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = postgres ]; then
        shared=$(sed -n 7p "$directory/data/postmaster.pid")
        children=$(grep -ls "^PPid:[[:space:]]*$pid\$" /proc/[0-9]*/status | cut -d/ -f3)
        kill -KILL $pid $children 2>/dev/null
        ipcrm -m "${shared##* }" 2>/dev/null
    fi
fi
rm -rf -- "$directory"
"""


class PostgreSQL:
    """One server, started when entered. `programs`: where its programs are (`tests.requirements.find_postgresql`).

    durable: what was acknowledged survives a crash, as in production; otherwise nothing is synced, which is several
    times faster. settings: further lines of postgresql.conf. copy_of: start as a standby of this server.
    """

    def __init__(
        self,
        programs: Path,
        *,
        durable: bool = False,
        settings: Mapping[str, str] | None = None,
        copy_of: PostgreSQL | None = None,
    ) -> None:
        self._programs = programs
        self._settings = _SETTINGS | (_DURABLE if durable else _FAST) | dict(settings or {})
        self._copy_of = copy_of
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None
        self._shared = ""
        self._template = ""
        self._emptied: list[str] = []
        self.directory = Path()
        self.port = 0

    def __enter__(self) -> Self:
        self.directory = Path(tempfile.mkdtemp(prefix="frontdesk-pg-"))
        self._watchdog = subprocess.Popen(
            ["sh", "-c", _WATCHDOG, "watchdog", str(self.directory)],
            stdin=subprocess.PIPE,
            cwd="/",
            start_new_session=True,  # not in the group that Ctrl-C reaches
        )
        try:
            self._prepare()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop(signal.SIGQUIT)
        finally:
            if self._shared:
                subprocess.run(["ipcrm", "-m", self._shared], stderr=subprocess.DEVNULL, check=False)
            assert self._watchdog is not None
            self._watchdog.communicate(b"done\n")

    # --- its life ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, and return when connections are accepted."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
                **_identity(),
            )
        wait_until(self._is_ready, "the server accepts connections")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT disconnects everybody and shuts down in order, SIGQUIT is a crash that syncs nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        for pid in (process.pid, *_children(process.pid)):
            _signal(pid, signal.SIGCONT)
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()

    def kill(self) -> None:
        """End every process of it at once, as a machine that loses its power does."""
        process, self._process = self._process, None
        assert process is not None
        children = _children(process.pid)
        process.kill()
        for pid in children:
            _signal(pid, signal.SIGKILL)
        process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), "the server is gone")

    def restart(self) -> None:
        """Stop in order and start again, under the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Stop every process where it stands: connections stay open and nothing answers."""
        assert self._process is not None
        pids = [self._process.pid]
        _signal(pids[0], signal.SIGSTOP)  # first, so that it makes no more of them
        for pid in _children(pids[0]):
            _signal(pid, signal.SIGSTOP)
            pids.append(pid)
        wait_until(lambda: all(_state(pid) in "TtZX" for pid in pids), "the server stands still")

    def resume(self) -> None:
        """Let it go on after `pause`."""
        assert self._process is not None
        for pid in (*_children(self._process.pid), self._process.pid):
            _signal(pid, signal.SIGCONT)

    def promote(self) -> None:
        """Make a standby the primary of a new timeline."""
        subprocess.run(
            [self._programs / "pg_ctl", "promote", "-D", self._data], cwd=self.directory, check=True,
            stdout=subprocess.DEVNULL, **_identity(),
        )  # fmt: skip

    # --- its databases ----------------------------------------------------------------------------------------

    def url(self, database: str, *, tcp: bool = False, role: str = ROLE) -> str:
        """The address of a database: over the socket, or with a password over TCP."""
        if tcp:
            password = "".join(f"%{byte:02X}" for byte in PASSWORD.encode())
            return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"
        return f"postgresql://{role}@/{database}?host={self.directory}&port={self.port}"

    async def execute(self, sql: str, database: str = "postgres", *, role: str = "postgres") -> list[Any]:
        """The rows of one statement, as the superuser unless another role is named."""
        connection = await asyncpg.connect(self.url(database, role=role), statement_cache_size=0)
        try:
            return await connection.fetch(sql)
        finally:
            await connection.close()

    async def new_database(self, *, migrated: bool = True) -> str:
        """The URL of a new database, with an empty store in it or with nothing."""
        template = await self._migrated() if migrated else "template0"
        name = f"desk_{secrets.token_hex(6)}"
        await self.execute(f"CREATE DATABASE {name} OWNER {ROLE} TEMPLATE {template} STRATEGY file_copy")
        if migrated:
            # A copy: another store than the one it was copied from, so its history has another name.
            await self.execute(f"UPDATE frontdesk.meta SET value = '{name}' WHERE name = 'history'", name)
        return self.url(name)

    @asynccontextmanager
    async def store_database(self) -> AsyncIterator[str]:
        """The URL of a database with an empty store, which is emptied afterwards for whoever comes next.

        Much faster than a new one each time; for tests that leave the database itself as it was.
        """
        url = self._emptied.pop() if self._emptied else await self.new_database()
        yield url
        name = database_of(url)
        tables = await self.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'frontdesk'", name)
        emptied = {row[0] for row in tables} - {"meta", "log_head"}
        script = [f"DELETE FROM frontdesk.{table}" for table in sorted(emptied)]
        script.append("UPDATE frontdesk.log_head SET number = 0")
        script.append(f"UPDATE frontdesk.meta SET value = '{secrets.token_hex(16)}' WHERE name = 'history'")
        await self.execute(f"DO $$ BEGIN {'; '.join(script)}; END $$", name)
        self._emptied.append(url)

    async def drop_database(self, url: str) -> None:
        """Remove a database, whoever is still connected."""
        await self.execute(f"DROP DATABASE {database_of(url)} WITH (FORCE)")

    async def disconnect(self, url: str) -> None:
        """End every connection to a database, as a restart of the server would."""
        await self.execute(
            f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database_of(url)}'"
        )

    async def files_of(self, url: str) -> bytes:
        """Every byte of a database, and of the write-ahead log."""
        await self.execute("CHECKPOINT")
        ((number,),) = await self.execute(f"SELECT oid FROM pg_database WHERE datname = '{database_of(url)}'")
        places = (self._data / "base" / str(number), self._data / "pg_wal")
        return b"".join(file.read_bytes() for place in places for file in place.iterdir() if file.is_file())

    async def _migrated(self) -> str:
        if not self._template:
            template = await self.new_database(migrated=False)
            await PostgreSQLStore(template).migrate()
            self._template = database_of(template)
        return self._template

    # --- inside -----------------------------------------------------------------------------------------------

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _prepare(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        self.port = free_port()
        if self._copy_of is None:
            self._run("initdb", "-D", self._data, "-U", "postgres", *_INITDB)
            (self._data / "pg_hba.conf").write_text(
                "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
            )
            (self._data / "roles.sql").write_text(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}';\n")
            self._run("postgres", "--single", "-D", self._data, "-j", "postgres", script=self._data / "roles.sql")
        else:
            primary = f"host={self._copy_of.directory} port={self._copy_of.port} user=postgres"
            self._run(
                "pg_basebackup", "-D", self._data, "-d", primary, "--write-recovery-conf", "--no-sync", "-c", "fast"
            )
        self._settings |= {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in self._settings.items())

    def _run(self, program: str, *arguments: str | Path, script: Path | None = None) -> None:
        done = subprocess.run(
            [self._programs / program, *arguments],
            input=b"" if script is None else script.read_bytes(),
            capture_output=True,
            cwd=self.directory,
            check=False,
            **_identity(),
        )
        assert done.returncode == 0, f"{program} failed:\n{done.stdout.decode()}{done.stderr.decode()}"

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"the server ended:\n{(self.directory / 'log').read_text()}"
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        if len(lines) < 8 or lines[0] != str(self._process.pid) or not re.match("ready|standby", lines[7]):
            return False
        self._shared = lines[6].split()[-1]
        return True


def database_of(url: str) -> str:
    """The name of the database in a URL that `PostgreSQL.url` made."""
    return url.partition("?")[0].rpartition("/")[2]


def _identity() -> dict[str, Any]:
    """Arguments for a process of the server: it refuses to run as root, so there it is Debian's user for it."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam("postgres")
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _children(parent: int) -> list[int]:
    """The server makes each of its processes a session of its own, so no signal to a group reaches them."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
