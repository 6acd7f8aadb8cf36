"""Honest clients of a cluster: browsers with tabs on one jar and applications with a storage of their own.

They behave as docs/rotation.md tells clients to: a refresh is given up after 14/30 of grace and what comes later is not
looked at; a new token is saved before it is used. Every request is recorded, whatever becomes of it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
import msgspec

from frontdesk.core import credentials
from tests.cluster.history import LOST, Operation, Recorder, Request, Target, moment
from tests.cluster.nodes import HOST_NAME

PASSWORD: Final = "tall grey wooden ship"
GIVE_UP: Final = 14 / 30
"""After what part of grace a client gives up a refresh."""

Credential = Literal["session", "jwt", "jwe"]
Transport = Literal["cookie", "bearer"]

_SECOND: Final = 1_000_000_000
_COOKIES: Final[Mapping[str, Literal["access", "refresh"]]] = {
    "__Host-Http-session": "access",
    "__Host-Http-access": "access",
    "__Host-Http-refresh": "refresh",
}


class Door(msgspec.Struct, frozen=True):
    """Where a node is found. `desk`: whether sessions begin and end there, too; else it is a service that checks."""

    node: str
    host: str
    port: int
    desk: bool = True


@dataclass(slots=True)
class Holding:
    """What a client holds of one session. Tabs share one."""

    subject: str
    session: str
    credential: Credential
    transport: Transport
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    expires: int | None = None
    """The moment before which the access token cannot be over."""

    @property
    def headers(self) -> dict[str, str]:
        if self.transport == "bearer":
            return {"authorization": f"Bearer {self.access}"}
        kind = "session" if self.credential == "session" else "access"
        pairs = {f"__Host-Http-{kind}": self.access, "__Host-Http-refresh": self.refresh}
        return {"cookie": "; ".join(f"{name}={value}" for name, value in pairs.items() if value)}

    @property
    def generation(self) -> int | None:
        return generation_of(self.refresh)

    @property
    def key(self) -> str:
        """The id of the key of the access token; "" for a session token."""
        if self.credential == "session" or not self.access:
            return ""
        head = self.access.partition(".")[0]
        return str(json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))["kid"])

    def save(self, answer: Answer) -> None:
        """Take over the tokens of an answer; those that it lacks stay."""
        self.access = answer.access or self.access
        self.refresh = answer.refresh or self.refresh
        self.expires = answer.expires or self.expires


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, or that there was none: status 0."""

    status: int = LOST
    body: Mapping[str, Any] = field(default_factory=dict, repr=False)
    access: str = field(default="", repr=False)
    refresh: str = field(default="", repr=False)
    expires: int | None = None

    @property
    def accepted(self) -> bool:
        return 200 <= self.status < 300

    @property
    def decided(self) -> bool:
        return self.status != LOST and self.status < 500

    @property
    def code(self) -> str:
        return str(self.body.get("code", ""))


class Wire:
    """Sends requests to nodes, each with a limit of time, and records them. `administrator`: a service's credential."""

    def __init__(
        self, doors: Sequence[Door], recorder: Recorder, *, grace: float, patience: float, administrator: str = ""
    ) -> None:
        self.doors = tuple(doors)
        self.recorder = recorder
        self.patience = patience
        self.refresh_patience = GIVE_UP * grace
        self._administrator = administrator
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        self._http = httpx.AsyncClient(limits=limits, timeout=None, trust_env=False)

    async def close(self) -> None:
        await self._http.aclose()

    async def ask(
        self,
        client: str,
        door: Door,
        operation: Operation,
        *,
        subject: str = "",
        holding: Holding | None = None,
        body: Mapping[str, str] | None = None,
        target: Target | None = None,
        address: str = "",
    ) -> Answer:
        """One request, recorded also when it breaks or is cancelled."""
        method, path = _ROUTES[operation]
        if target is not None:
            method, path = _route_to_end(target, holding)
        headers = {"x-forwarded-for": address}
        presents = operation == "refresh" and holding is not None and bool(holding.refresh)
        if holding is not None and body is None:
            headers |= holding.headers
        facts: dict[str, Any] = {"subject": subject, "target": target}
        if holding is not None:
            facts |= {"subject": holding.subject, "session": holding.session, "key": holding.key}
            facts |= {"expires": holding.expires, "presented": holding.generation if presents else None}
        if presents:
            facts["key"] = ""  # the access token decides nothing
        facts |= {"client": client, "node": door.node, "operation": operation}
        return await self._send(f"{method} http://{door.host}:{door.port}{path}", headers, body, facts)

    async def order(self, client: str, door: Door, target: Target) -> Answer:
        """End something as an administrator's program does, in the name of nobody who is signed in."""
        body: dict[str, object] = {"all": True} if target.kind == "all" else {target.kind: target.id}
        headers = {"authorization": f"Bearer {self._administrator}"}
        facts: dict[str, Any] = {"client": client, "node": door.node, "operation": "revoke", "target": target}
        return await self._send(f"POST http://{door.host}:{door.port}/auth/revocations", headers, body, facts)

    async def _send(
        self, line: str, headers: Mapping[str, str], body: Mapping[str, object] | None, facts: dict[str, Any]
    ) -> Answer:
        method, _, url = line.partition(" ")
        refreshes = facts["operation"] == "refresh"
        answer = Answer()
        started = moment()
        try:
            async with asyncio.timeout(self.refresh_patience if refreshes else self.patience):
                sent = self._http.request(method, url, json=body, headers={"host": HOST_NAME, **headers})
                answer = _read(await sent, started)
        except (httpx.HTTPError, TimeoutError):
            pass
        finally:
            if facts["operation"] == "sign_in" and answer.accepted:
                facts["session"] = answer.body["session"]
            told: dict[str, Any] = {
                "status": answer.status,
                "code": answer.code,
                "minted": generation_of(answer.refresh),
            }
            self.recorder.add(Request(started=started, ended=moment(), **told, **facts))
        return answer


_ROUTES: Final[Mapping[Operation, tuple[str, str]]] = {
    "register": ("POST", "/auth/register"),
    "sign_in": ("POST", "/auth/login"),
    "check": ("GET", "/auth/me"),
    "refresh": ("POST", "/auth/refresh"),
    "revoke": ("POST", "/auth/logout"),
    "probe": ("GET", "/healthz"),
}


def _route_to_end(target: Target, holding: Holding | None) -> tuple[str, str]:
    assert holding is not None
    if target.kind == "subject":
        return "DELETE", "/auth/sessions"
    if target.id == holding.session:
        return "POST", "/auth/logout"
    return "DELETE", f"/auth/sessions/{target.id}"


def _read(response: httpx.Response, started: int) -> Answer:
    body = response.json() if "json" in response.headers.get("content-type", "") else {}
    tokens = {"access": body.get("access_token", ""), "refresh": body.get("refresh_token", "")}
    for line in response.headers.get_list("set-cookie"):
        name, _, value = line.partition(";")[0].partition("=")
        if name in _COOKIES and "Max-Age=0" not in line:
            tokens[_COOKIES[name]] = value
    expires = None
    if "expires_in" in body:
        # `exp` is in whole seconds of the node's clock, and may thus be up to one second earlier.
        expires = started + (int(body["expires_in"]) - 1) * _SECOND
    return Answer(response.status_code, body, expires=expires, **tokens)


def generation_of(refresh_token: str) -> int | None:
    """The number of a refresh token; None when there is none."""
    parsed = credentials.parse(refresh_token.encode())
    return None if parsed is None else parsed.generation


@dataclass(frozen=True, slots=True)
class Person:
    """An account. `address` is the one that its devices say they come from."""

    email: str
    address: str
    subject: str


class Device:
    """One client: what it holds now, and what it held before and must never be accepted with again."""

    def __init__(
        self,
        name: str,
        wire: Wire,
        person: Person,
        *,
        credential: Credential,
        transport: Transport,
        seed: int,
        home: int,
    ) -> None:
        self.name = name
        self.person = person
        self.holding: Holding | None = None
        self.retired: list[Holding] = []
        self.random = random.Random(f"{seed}/{name}")
        self._wire = wire
        self._home = home
        self._credential: Credential = credential
        self._transport: Transport = transport

    async def sign_in(self) -> Holding:
        """Sign in, again and again until a node does it."""
        body = {
            "email": self.person.email,
            "password": PASSWORD,
            "credential": self._credential,
            "transport": self._transport,
        }
        while True:
            answer = await self._wire.ask(
                self.name,
                self.any_door(),
                "sign_in",
                subject=self.person.subject,
                body=body,
                address=self.person.address,
            )
            if answer.accepted:
                break
            await self.wait(0.05, 0.2)
        session = str(answer.body["session"])
        self.holding = Holding(self.person.subject, session, self._credential, self._transport)
        self.holding.save(answer)
        return self.holding

    async def check(self, holding: Holding, door: Door | None = None) -> Answer:
        """A protected request."""
        door = door or self.any_door()
        answer = await self._wire.ask(self.name, door, "check", holding=holding, address=self.person.address)
        holding.save(answer)
        return answer

    async def refresh(self, holding: Holding, door: Door | None = None) -> Answer:
        """Present the refresh token; the session token where that is all there is."""
        door = door if door is not None and door.desk else self.any_door()
        in_body = {"refresh_token": holding.refresh} if holding.transport == "bearer" and holding.refresh else None
        answer = await self._wire.ask(
            self.name, door, "refresh", holding=holding, body=in_body, address=self.person.address
        )
        holding.save(answer)
        return answer

    async def end(self, own: Holding, target: Target) -> Answer:
        """Revoke something in the name of the session `own`."""
        return await self._wire.ask(
            self.name, self.any_door(), "revoke", holding=own, target=target, address=self.person.address
        )

    async def order(self, target: Target) -> Answer:
        """An administrator revokes something of this client's."""
        return await self._wire.order("administrator", self.any_door(), target)

    def retire(self) -> None:
        """What it holds is over."""
        if self.holding is not None:
            self.retired.append(self.holding)
            self.holding = None

    def door(self, number: int = 0) -> Door:
        """The node where it, or its tab of this number, is at home."""
        return self._wire.doors[(self._home + number) % len(self._wire.doors)]

    def any_door(self) -> Door:
        """One of a desk."""
        return self.random.choice([door for door in self._wire.doors if door.desk])

    @property
    def doors(self) -> tuple[Door, ...]:
        return self._wire.doors

    async def wait(self, shortest: float, longest: float) -> None:
        await asyncio.sleep(self.random.uniform(shortest, longest))
