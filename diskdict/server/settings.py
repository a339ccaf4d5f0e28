"""What a server is told when it starts: `Settings`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How an application serves its store.

    Parameters
    ----------
    token: str, optional
        What every request has to bring, but for the page, its files, ``/healthz`` and ``/openapi.json``.
    hosts: tuple of str
        Names in ``Host`` that are taken besides addresses and localhost.
    origins: tuple of str
        Other origins whose pages may ask (CORS).
    max_body: int
        Bytes of the largest body.
    max_json: int
        Bytes of the largest body of JSON: as values in memory it is some thirty times as large.
    patience: float
        Seconds that a client may send or take nothing.
    backups: str, optional
        The folder in which copies are made; without it ``STORE.backups``, beside the store.
    queues: str, optional
        The folder of the queues; without it ``STORE.queues``, beside the store.
    visibility: float
        Seconds after which a queue gives back what was not acknowledged, where it was made with nothing else.
    max_deliveries: int, optional
        Deliveries after which what is given back goes to the dead letters of a queue, likewise.
    """

    token: str | None = None
    hosts: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    max_body: int = 64 << 20
    max_json: int = 8 << 20
    patience: float = 30.0
    backups: str | None = None
    queues: str | None = None
    visibility: float = 60.0
    max_deliveries: int | None = None
