"""What decoders fed with garbage do to their process; in a module of its own, for workers import it."""

import os
import signal
import time


def fatal(item: str) -> str:
    """Die, hang with the interpreter's lock held off, fill the memory, or answer in capitals."""
    if item == "dies":
        os.kill(os.getpid(), signal.SIGSEGV)
    if item == "burns":
        while True:
            pass
    if item == "hangs":
        time.sleep(600)
    if item == "devours":
        return str(len(bytearray(2**40)))
    if item == "raises":
        raise OSError(28, "No space left on device")
    return item.upper()
