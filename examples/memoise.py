"""Remember what was computed, also for the next run. However many threads ask at once, it is computed once."""

import tempfile
from concurrent.futures import ThreadPoolExecutor

from diskdict import DiskDict

computed: list[int] = []


def factorial(number: int) -> int:
    computed.append(number)
    product = 1
    for factor in range(2, number + 1):
        product *= factor
    return product


def main(folder: str) -> None:
    with DiskDict[tuple[str, int], int](folder) as known:

        def remembered(number: int) -> int:
            return known.get_or_set(("factorial", number), lambda: factorial(number), ttl=3600)

        with ThreadPoolExecutor(max_workers=8) as pool:
            results = set(pool.map(remembered, [30] * 8))
        print("eight threads asked:", results, "computed", len(computed), "time")

    with DiskDict[tuple[str, int], int](folder) as known:
        print("after a reopen:     ", known["factorial", 30], "computed", len(computed), "time")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/results")
