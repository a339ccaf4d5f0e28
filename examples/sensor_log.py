"""Thousands of readings a second, each safe from a crash of the program, at most half a second lost to a power cut.

The files follow by themselves: any other program may read them, and after ``flush`` they are all there.
"""

import tempfile
import time

from diskdict import DiskDict


def main(folder: str) -> None:
    with DiskDict[str, dict[str, float]](folder, durability="interval", interval=0.5) as readings:
        start = time.perf_counter()
        for number in range(10_000):
            readings[f"sensor.{number % 50}.{number}"] = {"at": float(number), "celsius": 20 + number % 7}
        taken = time.perf_counter() - start
        print(f"{len(readings):,} readings in {taken:.2f} s")
        readings.flush()
        print("one of them:", readings.path_for("sensor.7.7").read_text())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/readings")
