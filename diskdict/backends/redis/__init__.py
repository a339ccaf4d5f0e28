"""Records in Redis, on one server or in a cluster, by redis-py: the extra ``[redis]``."""
