"""Records as objects in S3, Google Cloud Storage, Azure and their like, by obstore: the extra ``[objects]``."""

from __future__ import annotations

from diskdict.backends.objects.store import ObjectStore as ObjectStore
from diskdict.backends.objects.store import over_client as over_client
