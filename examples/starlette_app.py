"""A Starlette application with users of its own. Run it: `uvicorn starlette_app:app`, in this directory."""

from datetime import timedelta

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from frontdesk.starlette import Frontdesk, principal, require

STAFF = {"alice": ("correct horse battery staple", {"teller"}), "bob": ("paper clip stapler tape", set[str]())}


async def sign_in(request: Request) -> Response:
    form = await request.json()
    password, roles = STAFF.get(form["name"], ("", set[str]()))
    if not password or form["password"] != password:
        return JSONResponse({"error": "The name or the password is wrong."}, status_code=401)
    signed = await desk.sign_in(request, form["name"], roles=roles)
    response = JSONResponse(dict(signed.body))
    signed.apply(response)
    return response


async def sign_out(request: Request) -> Response:
    signed_out = await desk.sign_out(request)
    response = Response(status_code=204)
    signed_out.apply(response)
    return response


async def dashboard(request: Request) -> Response:
    return JSONResponse({"hello": principal(request).subject})


@require(fresh=timedelta(minutes=5), roles={"teller"})
async def transfer(request: Request) -> Response:
    return JSONResponse({"done by": principal(request).subject})


@require()
async def ticker(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_json({"hello": principal(websocket).subject})
    await websocket.close()


app = Starlette(
    routes=[
        Route("/sign-in", sign_in, methods=["POST"]),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/dashboard", dashboard),
        Route("/transfer", transfer, methods=["POST"]),
        WebSocketRoute("/ticker", ticker),
    ]
)
desk = Frontdesk("sqlite:///app.db", accounts=False).install(app)
