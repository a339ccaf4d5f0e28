"""Many processes may read the same folder at once; a writer needs it for itself."""

import subprocess
import sys
import tempfile

from diskdict import DiskDict, ReadOnlyError, StoreLockedError

READER = """
import sys
from diskdict import DiskDict
with DiskDict(sys.argv[1], readonly=True) as prices:
    print("another process reads: ", prices)
"""


def main(folder: str) -> None:
    with DiskDict[str, int](folder) as prices:
        prices.update(apple=3, pear=4)

    with DiskDict[str, int](folder, readonly=True) as prices:
        print("this process reads:    ", prices, flush=True)
        subprocess.run([sys.executable, "-c", READER, folder], check=True)
        try:
            prices["apple"] = 5
        except ReadOnlyError:
            print("a reader cannot write: ", "ReadOnlyError")
        try:
            DiskDict(folder)
        except StoreLockedError:
            print("a writer has to wait:  ", "StoreLockedError")

    with DiskDict[str, int](folder) as prices:
        prices["apple"] = 5
        print("when all readers left: ", prices)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(f"{temporary}/prices")
