"""What the person at the terminal sees: numbered steps with their times, and one clear error.

Only this module prints. Everything goes to standard output line by line, so that a log of a run reads like the run.
"""

import contextlib
import sys
import time


class Failure(Exception):
    """Something the person can understand and act on: the whole message, without a traceback."""


class Steps:
    """Numbers the steps of a walk and keeps their times."""

    def __init__(self):
        self.count = 0
        self.seconds = {}
        self._tty = sys.stdout.isatty()

    def heading(self, text):
        say("")
        say(text if not self._tty else f"\033[1m{text}\033[0m")

    @contextlib.contextmanager
    def step(self, text, key=None):
        """One step. The value given is called with a line of detail, or with progress that the next line replaces."""
        self.count += 1
        label = f"{self.count:>3}. {text}"
        say(f"{label} …")
        start = time.monotonic()
        notes = Notes(self._tty)
        try:
            yield notes
        finally:
            notes.clear()
        seconds = time.monotonic() - start
        if key is not None:
            self.seconds[key] = seconds
        say(f"     done in {duration(seconds)}")


class Notes:
    """Lines below a step."""

    def __init__(self, tty):
        self._tty = tty
        self._open = False

    def detail(self, text):
        self.clear()
        say(f"     {text}")

    def progress(self, text):
        """A line that the next one replaces; on anything but a terminal it is left out."""
        if self._tty:
            sys.stdout.write(f"\r\033[K     {text}")
            sys.stdout.flush()
            self._open = True

    def clear(self):
        if self._open:
            sys.stdout.write("\r\033[K")
            sys.stdout.flush()
            self._open = False


def say(text):
    """One line for the person."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(text):
    """The one error of a failed run."""
    sys.stderr.write(f"\nerror: {text}\n")
    sys.stderr.flush()


def duration(seconds):
    """Seconds as a person writes them."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def size(count):
    """Bytes as a person writes them."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
