"""A store in Redis by a client that somebody else has made: `over_client`."""

from __future__ import annotations

import errno
import time
from typing import Final

from diskdict.backends.redis.address import PREFIX, TIMEOUT, Address, named
from diskdict.backends.redis.calls import Node, Pool
from diskdict.backends.redis.links import PoolOf
from diskdict.backends.redis.refusals import VENDOR, redis, translated
from diskdict.backends.redis.store import RedisStore
from diskdict.store import Clock

_ASCII: Final = "GET"


def over_client(client: object, *, codec: str, clock: Clock, prefix: str = PREFIX) -> RedisStore:
    """Return the store on the server, or in the cluster, of a ``redis.Redis`` or ``redis.cluster.RedisCluster``.

    It uses the connections of the client, with their limits and time-outs, and leaves them open. How the client decodes
    answers does not matter. Raises TypeError for anything else, a pipeline too, and ValueError for a client that has a
    cache of its own or an encoding that is none of commands.
    """
    address, pool_of = _cluster(client) if isinstance(client, redis.cluster.RedisCluster) else _server(client)
    return RedisStore(
        address._replace(prefix=prefix),
        codec=codec,
        clock=None if clock is time.time else clock,
        pool_of=pool_of,
    )


def _server(client: object) -> tuple[Address, PoolOf]:
    if not isinstance(client, redis.Redis) or isinstance(client, redis.client.Pipeline):
        raise TypeError(f"client= takes a redis.Redis or a redis.cluster.RedisCluster, not {type(client).__name__}")
    pool = _checked(client.connection_pool)
    given = pool.connection_kwargs
    node = str(given.get("host", given.get("path", "localhost"))), int(given.get("port", 0))
    return _address(pool, (node,), cluster=False), lambda _: pool


def _cluster(client: redis.cluster.RedisCluster) -> tuple[Address, PoolOf]:
    nodes = tuple((str(node.host), int(node.port)) for node in client.get_primaries())

    def pool_of(node: Node) -> Pool:
        host, port = node
        try:
            found = client.get_node(host=host, port=port)
            if found is None:
                client.nodes_manager.initialize()
                found = client.get_node(host=host, port=port)
            if found is not None:
                return _checked(client.get_redis_connection(found).connection_pool)
        except VENDOR as error:
            raise translated(error, f"redis://{named(host, port)}") from error
        raise ConnectionError(errno.EHOSTUNREACH, "the client does not know this node", f"redis://{named(host, port)}")

    return _address(pool_of(nodes[0]), nodes, cluster=True), pool_of


def _address(pool: Pool, nodes: tuple[Node, ...], *, cluster: bool) -> Address:
    return Address(
        nodes,
        cluster=cluster,
        tls=issubclass(pool.connection_class, redis.SSLConnection),
        timeout=float(pool.connection_kwargs.get("socket_timeout") or TIMEOUT),
    )


def _checked(pool: Pool) -> Pool:
    if pool.cache is not None:
        raise ValueError("a client with a cache of its own (cache_config=) cannot be used; KVStore has cache=")
    encoding = pool.connection_kwargs.get("encoding", "utf-8")
    if _ASCII.encode(encoding) != _ASCII.encode():
        raise ValueError(f"a client whose encoding is {encoding!r} cannot be used: commands are ASCII")
    return pool
