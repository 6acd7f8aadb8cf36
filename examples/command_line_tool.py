"""A program for the command line whose user signs in once. Try it with `make serve` in another terminal:

    python command_line_tool.py sign-in alice@example.com
    python command_line_tool.py whoami
    python command_line_tool.py sign-out

It asks http://localhost:8000, or what TOOL_URL names, and keeps its credentials in ~/.config/frontdesk-tool, or where
TOOL_CREDENTIALS says. Any number of them may run at once.
"""

import argparse
import getpass
import os
import sys
from pathlib import Path

import httpx

from frontdesk.client import FileStorage, FrontdeskAuth, SignedOutError, SignInError
from frontdesk.errors import FrontdeskError

URL = os.environ.get("TOOL_URL", "http://localhost:8000")
CREDENTIALS = Path(os.environ.get("TOOL_CREDENTIALS", "~/.config/frontdesk-tool/credentials")).expanduser()


def sign_in(auth: FrontdeskAuth, email: str) -> None:
    password = getpass.getpass() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    subject = auth.sign_in(email, password, credential="jwt")
    print(f"You are {subject}.")


def whoami(auth: FrontdeskAuth) -> None:
    with httpx.Client(base_url=URL, auth=auth) as client:
        me = client.get("/auth/me").raise_for_status().json()
    print(f"You are {me['subject']}, signed in at {me['auth_time']}.")


def sign_out(auth: FrontdeskAuth) -> None:
    auth.sign_out()
    print("You are signed out.")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A program whose user signs in once.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("sign-in").add_argument("email")
    commands.add_parser("whoami")
    commands.add_parser("sign-out")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    auth = FrontdeskAuth(URL, storage=FileStorage(CREDENTIALS))
    try:
        match asked.command:
            case "sign-in":
                sign_in(auth, asked.email)
            case "sign-out":
                sign_out(auth)
            case _:
                whoami(auth)
    except SignedOutError as error:
        sys.exit(f"{error} Sign in with: sign-in EMAIL")
    except SignInError as error:
        sys.exit(str(error))
    except (FrontdeskError, httpx.HTTPError) as error:  # the desk cannot be asked, or the file cannot be used
        sys.exit(f"That did not work, try again later: {error}")


if __name__ == "__main__":
    main()
