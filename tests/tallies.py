"""What was done in this run, and how often: the summary tells."""

from collections import Counter

tally: Counter[str] = Counter()
