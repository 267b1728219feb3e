"""Run the README's main command in a real terminal and hold one short conversation with it."""

from __future__ import annotations

import sys
import time

import pexpect
import pyte

LIMIT = 600.0


def main() -> int:
    """Open, see the status line, type a prompt, see text, leave with Ctrl-D; 0 if all of it happened."""
    screen = pyte.Screen(100, 30)
    stream = pyte.Stream(screen)
    child = pexpect.spawn("bash", ["-c", sys.argv[1]], dimensions=(30, 100), encoding="utf-8", timeout=None)

    def until(seen: object) -> bool:
        deadline = time.monotonic() + LIMIT
        while time.monotonic() < deadline:
            try:
                stream.feed(child.read_nonblocking(4096, timeout=0.2))
            except pexpect.TIMEOUT:
                pass
            except pexpect.EOF:
                return False
            if seen("\n".join(screen.display)):  # type: ignore[operator]
                return True
        return False

    if not until(lambda text: "shakespeare." in text and "T 0.80" in text):
        return _fail("the status line of shakespeare did not come", screen)
    child.send("ROMEO:\r")
    if not until(lambda text: len("".join(text.partition("ROMEO:")[2].split())) > 200):
        return _fail("no text streamed", screen)
    child.send("\x1b")
    child.send("\x04")
    until(lambda text: False)
    child.close()
    if child.exitstatus != 0:
        return _fail(f"it left with status {child.exitstatus}", screen)
    print("the REPL opened, spoke, and left with status 0")
    return 0


def _fail(what: str, screen: pyte.Screen) -> int:
    print(what, *screen.display, sep="\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
