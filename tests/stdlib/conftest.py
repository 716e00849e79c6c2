"""Every number of the library is asked of the interpreter and of every target."""

from tests.targets import run as run
from tests.targets import run_numpy as run_numpy
