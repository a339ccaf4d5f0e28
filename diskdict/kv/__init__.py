"""Hierarchical keys over any store, for both worlds: synchronous and asynchronous."""
