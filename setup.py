"""What a source distribution has beside the package; all else is in setup.cfg."""

from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist


class WithDocuments(sdist):
    """The README leads to what lies in these folders."""

    def make_distribution(self):
        for folder in ("docs", "examples", "benchmarks/plots"):
            self.filelist.extend(sorted(str(path) for path in Path(folder).glob("*.*")))
        super().make_distribution()


setup(cmdclass={"sdist": WithDocuments})
