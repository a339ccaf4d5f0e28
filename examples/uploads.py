"""Uploads and downloads of a small web application: both as streams, neither in memory as a whole.

An upload is there when all of it has come. One that breaks off, or is too large, leaves what was there before; a
download goes on with what it has begun, whatever is uploaded meanwhile. The application needs the extra ``server``; who
asks it here is httpx, without a network.
"""

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import BinaryIO

import httpx
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from diskdict import BlobStore, InvalidKeyError, KeyNotFoundError

PIECE = 1 << 16
LARGEST = 64 << 20


def application(blobs: BlobStore) -> Starlette:
    """Return the application; what it keeps is in `blobs`."""

    async def upload(request: Request) -> Response:
        name, size = request.path_params["name"], 0
        try:
            stream = blobs.open(name, "wb")
        except InvalidKeyError as error:
            raise HTTPException(400, str(error)) from None
        with stream as file:
            async for piece in request.stream():
                size += len(piece)
                if size > LARGEST:
                    raise HTTPException(413)
                await run_in_threadpool(file.write, piece)
        return JSONResponse({"name": name, "size": size}, 201)

    async def download(request: Request) -> Response:
        try:
            file = await run_in_threadpool(blobs.open, request.path_params["name"])
        except KeyNotFoundError:
            raise HTTPException(404) from None
        size = file.seek(0, io.SEEK_END)
        return StreamingResponse(pieces(file), headers={"Content-Length": str(size)})

    async def listing(_: Request) -> Response:
        return JSONResponse({name: blobs.size(name) for name in blobs})

    return Starlette(
        routes=[
            Route("/files", listing),
            Route("/files/{name}", upload, methods=["PUT"]),
            Route("/files/{name}", download),
        ]
    )


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """Yield a file from its beginning, and close it."""
    with file:
        file.seek(0)
        while piece := file.read(PIECE):
            yield piece


async def film(mebibytes: int, *, breaks_off: bool = False) -> AsyncIterator[bytes]:
    """Send so much, as a browser would."""
    for number in range(mebibytes):
        yield bytes([number]) * (1 << 20)
    if breaks_off:
        raise ConnectionResetError


async def main(folder: str) -> None:
    with BlobStore(folder, default_ttl_secs=7 * 86_400) as blobs:
        transport = httpx.ASGITransport(application(blobs))
        async with httpx.AsyncClient(transport=transport, base_url="http://files.example") as client:
            print("uploaded:  ", (await client.put("/files/film.mp4", content=film(20))).json())
            try:
                await client.put("/files/film.mp4", content=film(10, breaks_off=True))
            except ConnectionResetError:
                print("broken off:", (await client.get("/files")).json())
            print("too large: ", (await client.put("/files/film.mp4", content=film(65))).status_code)
            print("bad name:  ", (await client.put("/files/a:b", content=b"")).text)
            print("missing:   ", (await client.get("/files/song.mp3")).status_code)
            downloaded = await client.get("/files/film.mp4")
            print("downloaded:", downloaded.headers["Content-Length"], downloaded.content[-1] == 19)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        asyncio.run(main(f"{temporary}/files"))
