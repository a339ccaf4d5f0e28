"""Records in Elasticsearch, by its official client: the extra ``[elasticsearch]``."""
