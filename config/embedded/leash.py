"""Start a program that dies with its parent: `leash.py PARENT SIGNAL USER ARGV…`.

A small program of its own, run by path, rather than a preexec function: it is safe in a parent with
threads, and the kernel forgets a parent-death signal when the user changes, so the order (user
first, then the leash) has to be this. Where the kernel lacks this signal (macOS), the next start
clears leftovers (config/supervisor.py).
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become `USER` (numbers as `uid:gid`, or "-"), tie the knot, and turn into `ARGV`."""
    parent, death_signal, user, *argv = arguments
    if user != "-":
        uid, gid = user.split(":")
        os.setgroups([])
        os.setgid(int(gid))
        os.setuid(int(uid))
    tie(int(parent), int(death_signal))
    os.execvp(argv[0], argv)  # noqa: S606 (the program is ours, there is no shell)


def tie(parent: int, death_signal: int) -> None:
    """Have the kernel send this process a signal when its parent dies, where it can (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the parent is gone")


if __name__ == "__main__":
    main(sys.argv[1:])
