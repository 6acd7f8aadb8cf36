"""FastAPI: aliases in routers, factories, mounted applications and WebSockets; several desks; handlers of one's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.testclient import TestClient, WebSocketDenialResponse

from frontdesk.clock import AdjustableClock
from frontdesk.core.cookies import CookieSettings
from frontdesk.errors import RefusedError
from frontdesk.fastapi import Frontdesk, OptionalUser, Principal, User, require
from frontdesk.starlette import principal
from frontdesk.testing import Client
from tests.http.answers import code_of

Admin = Annotated[Principal, require(roles={"admin"})]
Recent = Annotated[Principal, require(fresh=timedelta(minutes=5))]


async def whoami(user: User) -> dict[str, str]:
    return {"hello": user.subject}


async def admin_only(user: Admin) -> dict[str, str]:
    return {"hello": user.subject}


async def attempt(request: Request) -> str:
    try:
        return principal(request).subject
    except HTTPException:
        return "wrong type"
    except StarletteHTTPException as error:
        return f"caught {error.status_code}"


def make_app() -> FastAPI:
    """A factory, as applications have them: the aliases stand outside of it."""
    app = FastAPI()
    app.add_api_route("/whoami", whoami)
    app.add_api_route("/admin", admin_only)
    return app


@pytest.fixture
def app() -> FastAPI:
    return make_app()


def refusals_of(client: Client, path: str) -> tuple[str, str]:
    """What nobody and what somebody without the role is told there, about /whoami and /admin."""
    client.forget()
    nobody = code_of(client.get(f"{path}/whoami"), status=401)
    client.sign_in_as("alice")
    assert client.get(f"{path}/whoami").json() == {"hello": "alice"}
    return nobody, code_of(client.get(f"{path}/admin"), status=403)


REFUSED = ("not_signed_in", "role_missing")


def test_routers_in_routers_and_mounted_applications_answer_problem_documents(app: FastAPI) -> None:
    inner, outer = APIRouter(), APIRouter()
    inner.add_api_route("/whoami", whoami)
    inner.add_api_route("/admin", admin_only)
    outer.include_router(inner, prefix="/inner")
    app.include_router(outer, prefix="/outer")
    child = make_app()
    child.mount("/grandchild", make_app())
    app.mount("/child", child)
    Frontdesk("memory:").install(app)
    client = Client(app)
    for path in ("", "/outer/inner", "/child", "/child/grandchild"):
        assert refusals_of(client, path) == REFUSED


def test_install_works_before_the_routes_are_there_and_with_a_root_path() -> None:
    app = FastAPI()
    desk = Frontdesk("memory:").install(app)
    app.add_api_route("/whoami", whoami)
    app.add_api_route("/admin", admin_only)
    client = Client(app, root_path="/api")
    assert client.desk is desk
    assert refusals_of(client, "") == REFUSED
    assert refusals_of(client, "/api") == REFUSED
    assert client.get("/auth/me").status_code == client.get("/api/auth/me").status_code == 200


@pytest.mark.parametrize("order", ["inside", "outside"])
def test_middleware_of_either_kind_may_stand_on_either_side(app: FastAPI, order: str) -> None:
    async def stamp(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await call_next(request)
        response.headers["x-stamp"] = "yes"
        return response

    desk = Frontdesk("memory:")
    if order == "outside":
        desk.install(app)
    app.add_middleware(BaseHTTPMiddleware, dispatch=stamp)
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    if order == "inside":
        desk.install(app)
    client = Client(app)
    assert refusals_of(client, "") == REFUSED
    client.forget()
    answer = client.get("/whoami", headers={"origin": "https://app.example"})
    assert code_of(answer) == "not_signed_in"
    assert answer.headers["x-stamp"] == "yes"
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_a_second_desk_on_the_same_application_is_refused(app: FastAPI) -> None:
    desk = Frontdesk("memory:").install(app)
    with pytest.raises(RuntimeError, match="already installed"):
        Frontdesk("memory:").install(app)
    with pytest.raises(RuntimeError, match="already installed"):
        desk.install(app)


def test_an_application_that_runs_takes_no_desk_any_more(app: FastAPI) -> None:
    assert TestClient(app).get("/docs").status_code == 200
    with pytest.raises(RuntimeError, match="started"):
        Frontdesk("memory:").install(app)


def test_without_a_desk_a_route_that_asks_says_what_to_install(app: FastAPI) -> None:
    with pytest.raises(RuntimeError, match=r"Frontdesk\(...\)\.install\(app\)"):
        TestClient(app).get("/whoami")
    with pytest.raises(LookupError, match="install"):
        Client(app).sign_in_as("alice")


def test_several_desks_in_one_process_know_nothing_of_each_other() -> None:
    first, second = make_app(), make_app()
    Frontdesk("memory:").install(first)
    Frontdesk("memory:").install(second)
    here, there = Client(first), Client(second)
    here.sign_in_as("alice")
    there.cookies.update(here.cookies)
    assert here.get("/whoami").status_code == 200
    assert there.get("/whoami").status_code == 401


def test_the_desk_of_a_mounted_application_stands_nearer_to_it_than_the_outer_one(app: FastAPI) -> None:
    child = make_app()
    outer = Frontdesk("memory:").install(app)
    inner = Frontdesk("memory:", cookies=CookieSettings(suffix="inner")).install(child)
    app.mount("/child", child)
    client = Client(app)
    client.sign_in_as("alice", desk=outer)
    assert client.get("/whoami").json() == {"hello": "alice"}
    assert code_of(client.get("/child/whoami")) == "not_signed_in"
    client.sign_in_as("bob", desk=inner)
    assert client.get("/child/whoami").json() == {"hello": "bob"}
    assert client.get("/child/auth/me").json()["subject"] == "bob"
    assert code_of(client.get("/whoami")) == "not_signed_in"
    assert code_of(client.get("/auth/me")) == "not_signed_in"


def test_a_desk_on_a_mounted_application_alone_opens_by_itself(app: FastAPI) -> None:
    child = make_app()
    Frontdesk("memory:").install(child)
    app.mount("/child", child)
    with Client(app) as client:
        assert refusals_of(client, "/child") == REFUSED
        assert client.post("/child/auth/logout").status_code == 204


def test_the_lifespan_of_the_application_runs_inside_that_of_the_desk() -> None:
    states: list[bool] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> Any:
        states.append(desk.is_open)
        yield
        states.append(desk.is_open)

    app = FastAPI(lifespan=lifespan)
    desk = Frontdesk("memory:").install(app)
    for _ in range(2):
        with Client(app) as client:
            assert client.get("/auth/health").status_code == 200
    assert states == [True, True, True, True]
    assert not desk.is_open


def test_an_application_may_handle_refusals_itself_and_its_answer_stands(app: FastAPI) -> None:
    @app.exception_handler(StarletteHTTPException)
    async def page(request: Request, error: StarletteHTTPException) -> Response:
        return HTMLResponse(f"<p>{error.detail}", status_code=error.status_code, headers=error.headers)

    Frontdesk("memory:").install(app)
    answer = Client(app).get("/whoami")
    assert answer.status_code == 401
    assert answer.text == "<p>No credential came along."
    assert answer.headers["www-authenticate"] == 'Bearer realm="frontdesk"'
    assert answer.headers["cache-control"] == "no-store"


def test_a_handler_for_the_status_or_the_refusal_is_asked_too(app: FastAPI) -> None:
    async def redirect(request: Request, error: Exception) -> Response:
        return Response(status_code=303, headers={"location": "/signin"})

    async def teapot(request: Request, error: Any) -> Response:
        return JSONResponse({"code": error.refusal.code}, status_code=418)

    app.add_exception_handler(401, redirect)
    app.add_exception_handler(RefusedError, teapot)
    Frontdesk("memory:").install(app)
    client = Client(app, follow_redirects=False)
    assert client.get("/whoami").status_code == 303
    client.sign_in_as("alice")
    assert client.get("/admin").json() == {"code": "role_missing"}


def test_an_exception_of_the_application_with_the_same_status_is_left_alone(app: FastAPI) -> None:
    @app.get("/own")
    async def own(user: OptionalUser) -> None:
        raise HTTPException(401, "mine")

    Frontdesk("memory:").install(app)
    assert Client(app).get("/own").json() == {"detail": "mine"}


def test_a_refusal_that_the_application_catches_is_its_own_business(app: FastAPI) -> None:
    @app.get("/caught")
    async def caught(who: Annotated[str, Depends(attempt)]) -> dict[str, str]:
        return {"who": who}

    Frontdesk("memory:").install(app)
    assert Client(app).get("/caught").json() == {"who": "caught 401"}


def test_a_fault_of_the_application_stays_a_500(app: FastAPI) -> None:
    @app.get("/broken")
    async def broken(user: User) -> None:
        raise ZeroDivisionError

    Frontdesk("memory:").install(app)
    client = Client(app, raise_server_exceptions=False)
    client.sign_in_as("alice")
    assert client.get("/broken").status_code == 500


def test_dependencies_read_the_scope_and_nothing_else(app: FastAPI) -> None:
    @app.get("/twice")
    async def twice(user: User, admin: Recent, maybe: OptionalUser) -> list[str]:
        return [user.subject, admin.subject, maybe.subject if maybe else "nobody"]

    Frontdesk("memory:").install(app)
    client = Client(app)
    client.sign_in_as("alice")
    assert client.get("/twice").json() == ["alice"] * 3


def test_freshness_follows_the_clock_that_was_handed_over(app: FastAPI) -> None:
    @app.get("/recent")
    async def recent(user: Recent) -> str:
        return user.subject

    clock = AdjustableClock()
    Frontdesk("memory:", clock=clock).install(app)
    client = Client(app)
    client.sign_in_as("alice")
    assert client.get("/recent").status_code == 200
    clock.advance(timedelta(minutes=6))
    assert code_of(client.get("/recent")) == "step_up_required"


def test_websockets_in_routers_and_mounted_applications(app: FastAPI) -> None:
    router = APIRouter()

    @router.websocket("/ws")
    async def socket(websocket: WebSocket, user: Admin) -> None:
        await websocket.accept()
        await websocket.send_text(user.subject)

    child = FastAPI()
    child.include_router(router)
    app.include_router(router, prefix="/router")
    app.mount("/child", child)
    Frontdesk("memory:").install(app)
    client = Client(app)
    for path in ("/router/ws", "/child/ws"):
        client.sign_in_as("alice")
        with pytest.raises(WebSocketDenialResponse) as denial, client.websocket_connect(path):
            raise AssertionError("it opened")
        assert code_of(denial.value) == "role_missing"
        client.sign_in_as("alice", roles={"admin"})
        with client.websocket_connect(path) as opened:
            assert opened.receive_text() == "alice"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"fresh": timedelta(0)}, ValueError),
        ({"fresh": timedelta(minutes=-5)}, ValueError),
        ({"roles": "teller"}, TypeError),
        ({"roles": {1}}, TypeError),
        ({"scope": [""]}, TypeError),
        ({"scope": 5}, TypeError),
        ({"role": {"teller"}}, TypeError),
    ],
)
def test_a_requirement_that_cannot_be_meant_is_refused_where_it_is_written(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        require(**options)
