"""Money moves between accounts, whole or not at all, however many threads move it and whatever goes wrong.

Eight threads transfer at random; a transfer from an empty account raises in its middle and leaves nothing behind.
"""

import contextlib
import random
import tempfile
import threading

from diskdict import DiskDict


class NotEnoughError(Exception):
    pass


def transfer(bank: DiskDict[str, int], source: str, target: str, amount: int) -> None:
    with bank.transaction():
        bank.increment(target, amount)
        if bank.increment(source, -amount) < 0:
            raise NotEnoughError(source)


def trade(bank: DiskDict[str, int], names: list[str], seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(50):
        source, target = chance.sample(names, 2)
        with contextlib.suppress(NotEnoughError):
            transfer(bank, source, target, chance.randint(1, 60))


def main(folder: str) -> None:
    with DiskDict[str, int](folder) as bank:
        bank.update(anna=100, bert=100, carl=100, dora=100)
        names = list(bank)
        traders = [threading.Thread(target=trade, args=(bank, names, seed)) for seed in range(8)]
        for trader in traders:
            trader.start()
        for trader in traders:
            trader.join()
        print(dict(bank), "in all", sum(bank.get_many(names).values()))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/bank")
