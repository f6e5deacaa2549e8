"""Run a command that the kernel kills when its parent dies, however the parent dies.

    python tether.py PARENT_PID COMMAND [ARGUMENT ...]

A program of its own, because the wish has to be stated between fork and exec: doing that in the
parent (`preexec_fn`) can deadlock where the parent has threads. The command replaces this process
and keeps its id. Linux alone can do this; elsewhere the command simply runs.

The kernel watches the parent's *thread* that forked: it has to live as long as its children.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the wish was stated
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
