"""Many clients in a process of their own: ADDRESS COUNT. Says "ready" when all are connected,
then for each line on standard input asks over every hundredth connection, and says how long that took."""

from __future__ import annotations

import resource
import sys
import time

from ringdict.node.world import Address

from .caller import RawClient

if __name__ == "__main__":
    address, count = Address(sys.argv[1]), int(sys.argv[2])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    clients = [RawClient(address, 60.0).shake() for _ in range(count)]
    print("ready", flush=True)
    for _line in sys.stdin:
        begun_s = time.monotonic()
        for client in clients[::100]:
            assert client.ask(b"you") == b"you"
        print(time.monotonic() - begun_s, flush=True)
