"""Which version of the software this is; the figures of each run name it."""

from typing import Final

VERSION: Final = "0.1.0"
