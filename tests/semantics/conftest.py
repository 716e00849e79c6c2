"""Every rule of execution is asked of the interpreter and of every target this machine has."""

from tests.targets import run as run
from tests.targets import run_numpy as run_numpy
