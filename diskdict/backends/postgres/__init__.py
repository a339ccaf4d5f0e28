"""Records in PostgreSQL, by psycopg: the extra ``[postgres]``."""
