"""Server-rendered pages: sign up, sign in, see who you are and where, sign out. They work without JavaScript.

The rooms: `site` (which path is answered by whom), `accounts` (sign-up and sign-in), `dashboard` (who you are, your
devices, sign-out), `advise` (which sign-in fits), `forms` (reading what a form sent), `rendering` (templates, links,
redirects), `headers` (what every page is sent with), `wording` (codes, devices and times in words). Templates, style
and script are package data.
"""

from __future__ import annotations

from frontdesk.pages.rendering import accepts_html
from frontdesk.pages.site import Pages

__all__ = ["Pages", "accepts_html"]
