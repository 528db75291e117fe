# SPDX-License-Identifier: BSD-2-Clause
"""The wire in Python: a second implementation, to test the first against.

    peer.py serve ADDRESS [--plain | --messages]
    peer.py call ADDRESS [--plain | --messages]

The top of tests/programs/test_conformance.py says what these two do. Tests use
the classes: Server (server.py) and Client (client.py), with the faces FRAMES
and ECHO_FRAMES, MESSAGES_SERVER and MESSAGES_CLIENT (side.py). It is made to be
exact, and easy to compare with the wire's description; it is not made to be
fast. Each sentence of that has one place here:

    framing.py  section 1: counts, limits, how a stream ends
    side.py     what both ends do: HELLO, PING, windows, what is ignored
    server.py   what the accepting end does with each code, drain, deadlines
    client.py   what the connecting end does with each, and how calls end
"""

import sys

try:
    from client import Client, Status  # noqa: F401
    from server import Failure, Server, ServerCall  # noqa: F401
    from side import (ECHO_FRAMES, FRAMES,  # noqa: F401
                      MESSAGES_CLIENT, MESSAGES_SERVER, Ended)
except ImportError as missing:
    sys.exit(f"peer.py: missing: {missing}")


def main():
    import service  # which needs all of the above
    programs = {"serve": service.serve, "call": service.call}
    words = sys.argv[1:]
    options = set(words[2:])
    # A thread that computes keeps the others waiting for no longer than this.
    sys.setswitchinterval(0.0005)
    if len(words) < 2 or words[0] not in programs or \
            not options <= {"--plain", "--messages"}:
        sys.exit("usage: peer.py serve|call ADDRESS [--plain | --messages]")
    programs[words[0]](words[1], "--plain" in options, "--messages" in options)


if __name__ == "__main__":
    main()
