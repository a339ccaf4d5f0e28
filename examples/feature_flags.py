"""Feature flags of several environments in one store: patterns, namespaces, metadata, and changes that nobody loses.

Run it as it is; the store is a folder that is removed at the end.
"""

from __future__ import annotations

import asyncio
import tempfile

from diskdict import KVStore


async def roll_out(flags: KVStore, name: str, percent: int) -> None:
    """Have a feature be seen by more, and never by fewer, whoever else rolls out at the same time."""
    while percent > (seen := await flags.get_or_set(f"{name}.percent", lambda: 0)):
        if await flags.compare_and_swap(f"{name}.percent", seen, percent):
            print(f"{name}: {seen} -> {percent} %")


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with KVStore("file", {"path": folder}) as store:
            for environment in ("dev", "prod"):
                flags = store.namespace(environment)
                await flags.set("search.new.enabled", environment == "dev", {"owner": "search team"})
                await flags.set("search.new.percent", 0)
                await flags.set("shop.gifts.enabled", True, {"owner": "shop team"}, ttl=30 * 86_400)

            prod = store.namespace("prod")
            await asyncio.gather(*(roll_out(prod, "search.new", percent) for percent in (5, 25, 10)))

            print("in prod:", await prod.get_pattern("**"))
            print("on in prod:", [key for key in await prod.keys("**.enabled") if await prod.get(key)])
            print("of the shop team:", await prod.find(owner="shop team"))
            print("environments:", await store.namespaces())


if __name__ == "__main__":
    asyncio.run(main())
