"""Deliveries as a response that knows whether it has reached somebody: `Handing`."""

from __future__ import annotations

import asyncio
import contextlib
import json
from queue import Empty

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from diskdict.queues.given import Delivery
from diskdict.server.answers import disconnected
from diskdict.server.shared import Deliveries, SharedQueue
from diskdict.server.wire import JSON


class Handing(Response):
    """Waits for deliveries and hands them out; what nobody is there to take is given back.

    The last byte is kept until all before it is on its way: who hangs up before it has not got the answer, and who
    hangs up after it may have.
    """

    def __init__(self, shared: SharedQueue, count: int, wait: float) -> None:
        super().__init__(media_type=JSON)
        self._shared = shared
        self._count = count
        self._wait = wait

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        deliveries: Deliveries = ()
        taken = False
        try:
            with contextlib.suppress(Empty):
                if await _is_known(gone):
                    raise Empty
                deliveries = await self._shared.getters.wait(self._attempt, self._wait, gone)
            whole = Response(f'{{"deliveries": [{", ".join(map(_written, deliveries))}]}}', media_type=JSON)
            await send({"type": "http.response.start", "status": 200, "headers": whole.raw_headers})
            await _send(whole.body[:-1], send)
            await _send(b"", send)  # waits for room for it
            taken = not deliveries or not await _is_known(gone)
        finally:
            gone.cancel()
            if not taken:
                await self._shared.give_back(deliveries)
        if taken:
            await _send(whole.body[-1:], send, more=False)

    async def _attempt(self) -> Deliveries:
        return await self._shared.take(self._count)


async def _send(body: bytes | memoryview, send: Send, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _is_known(gone: asyncio.Future[None]) -> bool:
    """Return whether a client has hung up until now.

    It takes turns of the loop until that is known: one reads the end, one ends the connection, one tells the request.
    """
    for _ in range(3):
        await asyncio.sleep(0)
    return gone.done()


def _written(delivery: Delivery[str]) -> str:
    beside = json.dumps({"id": delivery.id, "deliveries": delivery.deliveries, "put_time": delivery.put_time})
    return f'{beside[:-1]}, "value": {delivery.value}}}'
