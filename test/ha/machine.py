#!/usr/bin/python3
"""A machine of the cluster: runs one command, adopts and reaps whatever that leaves behind, and takes it all along.

machine.py LOG COMMAND...: each line "start" on standard input runs the command, with its output in LOG. At the end of
the input, or on SIGTERM, every descendant is killed. PostgreSQL outlives its Patroni here as it does on a machine of its
own, and nothing outlives the test.
"""
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys

PR_SET_CHILD_SUBREAPER = 36


def children():
    """The processes whose parent this one is."""
    me = os.getpid()
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as stat:
                    if int(stat.read().rpartition(")")[2].split()[1]) == me:
                        found.append(int(name))
            except (OSError, IndexError):
                pass
    return found


def reap():
    """Asks for the status of all that have ended; false if there is no child any more."""
    while True:
        try:
            if os.waitpid(-1, os.WNOHANG)[0] == 0:
                return True
        except ChildProcessError:
            return False


def end_all():
    """Children of killed children become ours, so this ends when all are gone."""
    while reap():
        for pid in children():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        select.select([], [], [], 0.02)


def main():
    log, command = sys.argv[1], sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
    wake, woken = socket.socketpair()
    wake.setblocking(False)
    woken.setblocking(False)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    started = []
    while not ended:
        ready = select.select([0, woken], [], [])[0]
        if woken in ready:
            woken.recv(4096)
            reap()
        if 0 in ready:
            line = os.read(0, 4096)
            if not line:
                break
            with open(log, "ab") as output:
                started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                                start_new_session=True))
            print(started[-1].pid, flush=True)
    end_all()


main()
