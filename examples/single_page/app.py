"""A single-page application: a page, one resource, a desk. In this directory: `uvicorn app:app`."""

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse

from frontdesk.fastapi import Frontdesk, User

HERE = Path(__file__).parent
POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'"
)

app = FastAPI()
desk = Frontdesk("sqlite:///app.db").install(app)
notes: dict[str, list[str]] = {}


@app.get("/")
async def page() -> FileResponse:
    return FileResponse(HERE / "index.html", headers={"content-security-policy": POLICY})


@app.get("/page.js")
async def script() -> FileResponse:
    return FileResponse(HERE / "page.js")


@app.get("/api/notes")
async def read(user: User) -> list[str]:
    return notes.get(user.subject, [])


@app.post("/api/notes")
async def write(user: User, text: str) -> list[str]:
    mine = notes.setdefault(user.subject, [])
    mine.append(text)
    return mine
