"""What was done in this run, and how often, and what could not be: the summary tells."""

from collections import Counter
from collections.abc import Callable

Announce = Callable[[str], None]
"""Says what could not run here."""

tally: Counter[str] = Counter()
