"""A store over HTTP: `application` is the ASGI application, `run` serves it. docs/http.rst says what it answers.

It needs the extra ``server``: ``pip install 'diskdict-store[server]'``.
"""

from __future__ import annotations

from diskdict.server.application import Application, application
from diskdict.server.running import Server, listen, run, unix_socket
from diskdict.server.served import ServedBlobs, ServedDict, ServedObjects
from diskdict.server.settings import Settings

__all__ = [
    "Application",
    "ServedBlobs",
    "ServedDict",
    "ServedObjects",
    "Server",
    "Settings",
    "application",
    "listen",
    "run",
    "unix_socket",
]
