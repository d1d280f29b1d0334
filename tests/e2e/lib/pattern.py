# SPDX-License-Identifier: Apache-2.0
"""Bytes through sockets that tell whether any was lost, doubled or moved."""
import socket

PERIOD = 251  # a prime: no block is like another; the programs of tests/fixtures have it, too
PATTERN = bytes(i % PERIOD for i in range(PERIOD * 1024))


def everything(s):
    """What it reads until the end: the length, and whether all of it was the pattern."""
    n, good = 0, True
    while part := s.recv(1 << 16):
        at = n % PERIOD
        good = good and part == PATTERN[at:at + len(part)]
        n += len(part)
    return n, good


def send(s, n):
    whole = len(PATTERN)
    for at in range(0, n, whole):
        s.sendall(PATTERN[:min(whole, n - at)])
    s.shutdown(socket.SHUT_WR)
