"""Work that a test gives to other processes."""

import os
import time
from pathlib import Path

from scintiflow.errors import ScintiflowError


def slow_first(number: int) -> int:
    time.sleep(0.2 if number == 0 else 0.0)
    return number * number


def die_at_three(number: int) -> int:
    if number == 3:
        os._exit(1)
    return number


def refuse_three(number: int) -> int:
    if number == 3:
        raise ScintiflowError("is damaged", where=f"{number}.dcm", remedy="Send it again")
    return number


def leave_a_mark(folder: Path, number: int) -> int:
    (folder / str(number)).touch()
    return number
