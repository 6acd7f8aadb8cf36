"""One desk and two services on this machine: `python examples/services/run.py`. Ctrl-C ends all three.

The desk's store lies in a temporary directory and goes with it.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType

HERE = Path(__file__).resolve().parent
FRONTDESK = [sys.executable, "-m", "frontdesk"]
PATIENCE = 30.0
JSON = "-H 'content-type: application/json'"

TRY = """\
Desk {desk}, orders {orders}, invoices {invoices}. In another terminal:

curl -s {desk}/auth/register {json} -d '{{"email": "alice@example.com", "password": "tall grey wooden ship"}}'; echo
token=$(curl -s {desk}/auth/login {json} -d '{{"email": "alice@example.com", "password": "tall grey wooden ship",
  "credential": "jwt", "transport": "bearer"}}' | sed 's/.*"access_token":"\\([^"]*\\)".*/\\1/')
curl -s {orders}/orders -H "authorization: Bearer $token"; echo
curl -s {invoices}/invoices -H "authorization: Bearer $token"; echo
curl -s {invoices}/books -H "authorization: Bearer $token"; echo
curl -s -X POST {desk}/auth/logout -H "authorization: Bearer $token"; sleep 1
curl -s {orders}/orders -H "authorization: Bearer $token"; echo
curl -s {invoices}/invoices -H "authorization: Bearer $token"; echo

The last two are refused: the services heard of the sign-out, and asked nobody. Ctrl-C ends it.
"""


class Processes:
    """What was started here, in sessions of their own, so that this process alone hears Ctrl-C and ends them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, command: list[str], port: int, environ: Mapping[str, str]) -> None:
        """Start a server, which logs into a file, and wait until it accepts connections."""
        log = self.directory / f"{name}.log"
        with log.open("wb") as into:
            process = subprocess.Popen(
                command, cwd=HERE, env={**os.environ, **environ}, stderr=into, start_new_session=True
            )
        self.running.append(process)
        deadline = time.monotonic() + PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.05)

    def wait(self) -> None:
        """Return when one of them has ended by itself."""
        while all(process.poll() is None for process in self.running):
            time.sleep(0.2)

    def end(self) -> None:
        """End them, the last first."""
        for process in reversed(self.running):
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def run(ports: list[int], processes: Processes) -> None:
    """Start desk and services, say what to try, and stay until something ends."""
    desk, orders, invoices = (f"http://127.0.0.1:{port}" for port in ports)
    store = ["--store", f"sqlite:///{processes.directory / 'desk.db'}"]
    # A service is added before the desk runs or while it does: both look into the same file.
    add = [*FRONTDESK, "services", "add", "--scope", "revocations", *store]
    credentials = {name: subprocess.check_output([*add, name], text=True).strip() for name in ("orders", "invoices")}
    settings = ["--base-url", desk, "--set", "audience=orders,invoices"]
    processes.start("desk", [*FRONTDESK, "serve", "--port", str(ports[0]), *store, *settings], ports[0], {})
    for name, port in zip(credentials, ports[1:], strict=True):
        serve = [sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port)]
        processes.start(name, serve, port, {"DESK": desk, "FRONTDESK_SERVICE_CREDENTIAL": credentials[name]})
    print(TRY.format(desk=desk, orders=orders, invoices=invoices, json=JSON), flush=True)
    processes.wait()


def leave(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(description="One desk and two services.")
    parser.add_argument(
        "--ports", nargs=3, type=int, default=[8000, 8001, 8002], metavar=("DESK", "ORDERS", "INVOICES")
    )
    ports: list[int] = parser.parse_args().ports
    taken = [port for port in ports if answers(port)]
    if taken:
        raise SystemExit(f"in use: {taken}; name others with --ports")
    signal.signal(signal.SIGTERM, leave)
    with tempfile.TemporaryDirectory() as directory:
        processes = Processes(Path(directory))
        try:
            run(ports, processes)
        except KeyboardInterrupt:
            return 0
        finally:
            processes.end()
    return 1


if __name__ == "__main__":
    sys.exit(main())
