"""URLs of PostgreSQL servers, and names and texts in SQL, as libpq understands them."""

from __future__ import annotations

import re

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict


def settings_of(url: str) -> dict[str, str]:
    """Return what a URL says of host, port, database, user and so on; a ValueError where that is not understood."""
    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items() if value is not None}
    except psycopg.ProgrammingError as error:
        # What libpq says may have the whole URL in it, and that the password.
        raise ValueError(f"not understood as the URL of a PostgreSQL server: {_shown(str(error))}") from error


def _shown(text: str) -> str:
    if "percent-encoded" in text:
        text = re.sub('"[^"]*"', '"…"', text)
    return re.sub(r"//[^@\s]*@", "//…@", text).strip()


def identifier(name: str) -> str:
    """Return a name quoted for SQL."""
    return sql.Identifier(name).as_string()


def literal(text: str) -> str:
    """Return a text quoted for SQL."""
    return sql.Literal(text).as_string()
