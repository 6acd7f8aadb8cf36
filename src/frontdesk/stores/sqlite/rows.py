"""Reading rows from SQLite."""

from __future__ import annotations

from typing import Any, Final

import apsw

Row = tuple[Any, ...]

SESSION_PLACES: Final = ", ".join("?" * 26)


def fetch(connection: apsw.Connection, sql: str, *values: object) -> list[Row]:
    """All rows of a statement. Always all: a cursor that is left open pins its snapshot of the database."""
    return connection.execute(sql, values).fetchall()
