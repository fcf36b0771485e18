"""The package's version, apart from everything else so that nothing heavy loads to read it."""

__version__ = "0.1.0"
