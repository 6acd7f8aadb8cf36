"""The configuration as text to paste: a Python module, that of a service, settings of the server, the environment.

Every text that can come out of here is started and signed in to by tests/advisor/test_configurations.py; every command
is run as it stands by tests/advisor/test_pasting.py. No line is wider than a terminal of 80 columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import indent
from types import MappingProxyType
from typing import Final

import msgspec

from frontdesk.advisor.plans import Plan, StoreKind
from frontdesk.core.secrets import MAKES_ONE

AUDIENCES: Final = ("orders", "invoices")
"""The services of the samples; the first is the one whose code is shown."""


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to paste. `name`: the file it belongs into, or what it is; `language` as highlighters call it."""

    name: str
    language: str
    text: str


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """What to paste.

    application: the module that signs in, or that checks a provider's tokens. service: one of the other services. Each
    has an environment of its own, a file that its commands read: a service holds no secret of the desk.
    settings: the same desk as `frontdesk serve` (frontdesk.toml); where there is none the ready-made server cannot do
    this. login: what a sign-in must say beside address and password.
    """

    commands: Snippet
    environment: Snippet
    application: Snippet
    service_environment: Snippet | None
    service: Snippet | None
    settings: Snippet | None
    client: Snippet
    login: Mapping[str, str]

    def snippets(self) -> tuple[Snippet, ...]:
        """All of them, in the order in which they are wanted."""
        desk = (self.commands, self.environment, self.application)
        found = (*desk, self.service_environment, self.service, self.settings, self.client)
        return tuple(each for each in found if each is not None)


def configuration_of(plan: Plan) -> Configuration:
    """The text of a plan."""
    return Configuration(
        commands=Snippet(name="commands", language="sh", text=_commands(plan)),
        environment=_environment(plan),
        application=Snippet(name="app.py", language="python", text=_application(plan)),
        service_environment=_service_environment(plan),
        service=_service(plan),
        settings=_settings(plan),
        client=_client(plan),
        login=MappingProxyType({"refresh_in": plan.refresh_in} if plan.refresh_in is not None else {}),
    )


# --- commands and environment ---------------------------------------------------------------------------------------

_DRIVER: Final[Mapping[StoreKind, str]] = {"none": "", "sqlite": "", "postgresql": ",postgresql", "redis": ",redis"}
_URL: Final[Mapping[StoreKind, str]] = {
    "postgresql": "postgresql://desk:password@db.example:5432/desk",
    "redis": "redis://:password@redis.example:6379/0",
}


def _commands(plan: Plan) -> str:
    http = ",http" if plan.enters or plan.service != "none" else ""
    # With [server] comes the command line, which migrates the tables and gives services their credentials.
    server = ",server" if plan.store == "postgresql" or plan.service not in {"none", "stateless"} else ""
    lines = [f"pip install 'frontdesk[fastapi{http}{server}{_DRIVER[plan.store]}]' uvicorn"]
    if plan.over_a_network:
        lines.append(MAKES_ONE)
    lines.append(_reads("app"))
    if plan.store == "postgresql":
        lines.append("frontdesk migrate  # once")
    if plan.service not in {"none", "stateless"}:
        store = " --store sqlite:///app.db" if plan.store == "sqlite" else ""
        lines.append(f"frontdesk services add {AUDIENCES[0]} --scope revocations{store}")
    lines.append("uvicorn app:app  # http://localhost:8000; in production behind a proxy with TLS")
    if _has_service(plan):
        lines += [
            "# The service, in a shell of its own:",
            _reads(AUDIENCES[0]),
            f"uvicorn {AUDIENCES[0]}:app --port 8001",
        ]
    return "\n".join(lines) + "\n"


def _reads(name: str) -> str:
    """The command with which a shell takes a file of variables into its environment."""
    return f"set -a; . ./{name}.env; set +a"


def _has_service(plan: Plan) -> bool:
    return plan.service != "none" and plan.transport is not None


def _environment(plan: Plan) -> Snippet:
    lines = []
    if plan.transport is None or plan.enters:
        lines += [
            "IDP_ISSUER=https://idp.example/realms/shop",
            "IDP_JWKS_URL=https://idp.example/realms/shop/protocol/openid-connect/certs",
            f"IDP_AUDIENCE={AUDIENCES[0]}",
        ]
    if plan.transport is not None:
        lines += _address(plan)
    if plan.leaf == "single-page-memory":
        lines += ["# To try it on this machine: http://localhost:5173", "PAGE_ORIGIN=https://www.app.example"]
    if plan.over_a_network:
        # Quoted: a shell reads the file, and a URL may hold `&` and `$`.
        lines += [f"FRONTDESK_STORE='{_URL[plan.store]}'", "FRONTDESK_SECRET=<what python3 printed>"]
    return Snippet(name="app.env", language="sh", text="\n".join(lines) + "\n")


def _service_environment(plan: Plan) -> Snippet | None:
    if not _has_service(plan):
        return None
    lines = _address(plan)
    if plan.service != "stateless":
        lines.append("FRONTDESK_SERVICE_CREDENTIAL=<what frontdesk services add printed>")
    return Snippet(name=f"{AUDIENCES[0]}.env", language="sh", text="\n".join(lines) + "\n")


def _address(plan: Plan) -> list[str]:
    return ["# To try it on this machine: http://localhost:8000", f"FRONTDESK_BASE_URL={_base_url(plan)}"]


def _base_url(plan: Plan) -> str:
    return "https://app.example" if plan.service == "none" else "https://desk.example"


# --- the application ------------------------------------------------------------------------------------------------

_ROUTE: Final = """

@app.get("/dashboard")
async def dashboard(user: User) -> dict[str, str]:
    return {"hello": user.subject}
"""

_ENTER: Final = """

class Ticket(BaseModel):
    token: str  # the access token that the provider gave for this audience


@app.post("/enter")
async def enter(
    ticket: Ticket, request: Request, response: Response
) -> dict[str, object]:
    try:
        who = await verifier.check(ticket.token)
    except StoreError as error:
        raise HTTPException(503, "The provider cannot be asked.") from error
    if not isinstance(who, Principal):
        raise HTTPException(401, who.title)
    signed = await desk.sign_in(request, who.subject)
    signed.apply(response)
    return dict(signed.body)
"""

_PAGE: Final = 'PAGE = os.environ.get("PAGE_ORIGIN", "http://localhost:5173")\n'
_CORS: Final = """\
app.add_middleware(  # after install: it stands outside
    CORSMiddleware,
    allow_origins=[PAGE],
    allow_credentials=True,
    allow_methods=["*"],
    allow_headers=["authorization", "content-type"],
)
"""

_FOREIGN: Final = """\
verifier = Verifier(
    issuer=os.environ["IDP_ISSUER"],
    jwks_url=os.environ["IDP_JWKS_URL"],
    audience=os.environ["IDP_AUDIENCE"],
    # token_types=["JWT"],  # Keycloak as it comes, Entra ID, Okta, Auth0's own
)
"""


def _application(plan: Plan) -> str:
    if plan.transport is None:
        return _checking(_FOREIGN, "/dashboard", "hello", cookies=False, first="import os\n\n")
    if plan.enters:
        head = (
            "import os\n\nfrom fastapi import FastAPI, HTTPException, Request, Response\n"
            "from pydantic import BaseModel\n\n"
            "from frontdesk import StoreError\n"
            "from frontdesk.fastapi import Frontdesk, Principal, User\n"
            "from frontdesk.verifier import Verifier\n\n"
        )
        return f"{head}{_FOREIGN}app = FastAPI()\n{_desk(plan)}{_ENTER}{_ROUTE}"
    crosses = plan.leaf == "single-page-memory"
    cors = "from fastapi.middleware.cors import CORSMiddleware\n" if crosses else ""
    head = f"import os\n\nfrom fastapi import FastAPI\n{cors}\nfrom frontdesk.fastapi import Frontdesk, User\n\n"
    page, allowed = (_PAGE, _CORS) if crosses else ("", "")
    return f"{head}{page}app = FastAPI()\n{_desk(plan)}{allowed}{_ROUTE}"


def _desk(plan: Plan) -> str:
    store = '"sqlite:///app.db"' if plan.store == "sqlite" else 'os.environ["FRONTDESK_STORE"]'
    lines = [
        f"{store},",
        'base_url=os.environ.get("FRONTDESK_BASE_URL", "http://localhost:8000"),',
        f'credentials=["{plan.credential}"],',
        f'transports=["{plan.transport}"],',
    ]
    if plan.leaf == "single-page-memory":
        lines.append("trusted_origins=[PAGE],  # where the script comes from")
    if plan.service != "none":
        audiences = ", ".join(f'"{name}"' for name in AUDIENCES)
        lines.append(f"audience=[{audiences}],  # the services that take its tokens")
    if plan.strict:
        lines.append('freshness="strict",  # ask the store on each request')
    if plan.trusts_stale:
        lines.append("insecure_trust_stale=True,  # go on while the store is away")
    if plan.enters:
        lines.append("accounts=False,  # the provider has them")
    return f"desk = Frontdesk(\n{indent(chr(10).join(lines), '    ')}\n).install(app)\n"


# --- services -------------------------------------------------------------------------------------------------------

_FOLLOWING: Final[Mapping[str, str]] = {
    "following": "",
    "prompt": "    max_staleness=timedelta(seconds=1),\n",
    "trusting": "    insecure_trust_stale=True,  # go on while the desk is away\n",
    "stateless": '    freshness="stateless",  # hears of no sign-out\n',
}


def _service(plan: Plan) -> Snippet | None:
    if not _has_service(plan):
        return None
    verifier = (
        "verifier = Verifier(\n"
        '    issuer=os.environ.get("FRONTDESK_BASE_URL", "http://localhost:8000"),\n'
        f'    audience="{AUDIENCES[0]}",\n{_FOLLOWING[plan.service]})\n'
    )
    first = "import os\nfrom datetime import timedelta\n\n" if plan.service == "prompt" else "import os\n\n"
    text = _checking(verifier, f"/{AUDIENCES[0]}", "orders of", cookies=plan.reads_cookies, first=first)
    return Snippet(name=f"{AUDIENCES[0]}.py", language="python", text=text)


def _checking(verifier: str, path: str, says: str, *, cookies: bool, first: str) -> str:
    """An application that checks tokens and issues none."""
    core = "from frontdesk.core.cookies import CookieSettings\n" if cookies else ""
    added = "app.add_middleware(VerifierMiddleware, verifier=verifier)\n"
    if cookies:
        added = "app.add_middleware(\n    VerifierMiddleware, verifier=verifier, cookies=CookieSettings()\n)\n"
    name = path.removeprefix("/")
    return (
        f"{first}from fastapi import FastAPI\n\n{core}"
        "from frontdesk.fastapi import User, VerifierMiddleware\n"
        f"from frontdesk.verifier import Verifier\n\n{verifier}app = FastAPI()\n{added}\n\n"
        f'@app.get("{path}")\nasync def {name}(user: User) -> dict[str, str]:\n'
        f'    return {{"{says}": user.subject}}\n'
    )


# --- the ready-made server and the client ---------------------------------------------------------------------------


def _settings(plan: Plan) -> Snippet | None:
    if plan.transport is None or plan.enters:
        return None
    lines = [
        f"# pip install 'frontdesk[server{_DRIVER[plan.store]}]'",
        "# frontdesk serve  # in place of uvicorn app:app",
        f'base_url = "{_base_url(plan)}"',
    ]
    lines += ['store = "sqlite:///app.db"'] if plan.store == "sqlite" else []
    lines += [f'credentials = ["{plan.credential}"]', f'transports = ["{plan.transport}"]']
    if plan.service != "none":
        lines.append("audience = [" + ", ".join(f'"{name}"' for name in AUDIENCES) + "]")
    if plan.strict:
        lines.append('freshness = "strict"')
    if plan.trusts_stale:
        lines.append("insecure_trust_stale = true")
    if plan.leaf == "single-page-memory":
        lines.append("# For a page of this host; one of another host takes app.py, which has CORS.")
    if plan.over_a_network:
        lines.append("# FRONTDESK_STORE and FRONTDESK_SECRET stand in app.env.")
    return Snippet(name="frontdesk.toml", language="toml", text="\n".join(lines) + "\n")


_REQUESTS: Final = """\
Every body is JSON and says so: content-type: application/json
{made}POST {where} {body}
  {kept}
GET {path}
  Authorization: Bearer <access_token>
{later}POST /auth/logout
  Authorization: Bearer <access_token>
"""
_POST: Final = """\
const post = {{
  method: "POST", headers: {{"content-type": "application/json"}},
  body: JSON.stringify({says}),
}};
"""
_MADE: Final = "// Before, once: POST /auth/register {email, password} makes the account.\n"


def _client(plan: Plan) -> Snippet:
    path = "/dashboard" if plan.service == "none" else f"/{AUDIENCES[0]}"
    if plan.transport is None:
        text = "GET /dashboard\n  Authorization: Bearer <the provider's access token>\n"
        return Snippet(name="client", language="http", text=text)
    if plan.transport == "bearer" and plan.refresh_in is None:
        return Snippet(name="client", language="http", text=_requests(plan, path))
    return Snippet(name="client", language="js", text=_script(plan, path))


def _requests(plan: Plan, path: str) -> str:
    refreshed = plan.credential != "session"
    later = '401 token_expired: POST /auth/refresh {"refresh_token": …}; keep what it answers\n'
    return _REQUESTS.format(
        made="" if plan.enters else 'POST /auth/register {"email": …, "password": …}\n  once: makes the account\n',
        where="/enter" if plan.enters else "/auth/login",
        body='{"token": …}' if plan.enters else '{"email": …, "password": …}',
        kept=f"-> access_token{', refresh_token' if refreshed else ''}: into the keychain",
        path=path if plan.service == "none" else f"{path}, of the service",
        later=later if refreshed else "",
    )


def _script(plan: Plan, path: str) -> str:
    says = "{token: tokenOfTheProvider}" if plan.enters else "{email, password}"
    post = _POST.format(says=says)
    if plan.credential == "session":
        begins = "/enter" if plan.enters else "/auth/login"
        return (
            f'{post}{_MADE if not plan.enters else ""}await fetch("{begins}", post);\n'
            f'await fetch("{path}");  // the cookie goes along by itself\n'
            '// To sign out: await fetch("/auth/logout", {method: "POST"});\n'
        )
    # A page of another origin may import the desk's file, too: CORS lets it, which the application needs anyway.
    crosses = plan.leaf == "single-page-memory"
    desk = "https://app.example" if crosses else ""
    options = {"base": f"{desk}/auth"} if crosses else {}
    if plan.transport == "bearer":
        options["transport"] = "bearer"
    if plan.transport == "bearer" and plan.credential == "jwe":
        options["credential"] = "jwe"
    told = ", ".join(f'{name}: "{value}"' for name, value in options.items())
    if len(options) > 1:
        told = "\n  " + told.replace(", ", ",\n  ") + ",\n"
    sign_in = 'signIn(() => fetch("/enter", post))' if plan.enters else f"signIn({says})"
    there = f"// A proxy leads {path} of this host to the service.\n" if plan.service != "none" else ""
    return (
        f'import {{ createClient }} from "{desk}/auth/frontdesk.js";\n\n'
        f"{post if plan.enters else ''}"
        f"const client = createClient({f'{{{told}}}' if told else ''});\n"
        f"{_MADE if not plan.enters else ''}"
        f"await client.{sign_in};\n"
        f"// Refreshes when it must, once for all tabs.\n{there}"
        f'await client.fetch("{desk}{path}");\n'
        "// To sign out: await client.signOut();\n"
    )
