"""Queues that survive: on disk, acknowledged, for threads and for asyncio."""
