"""Prints what stands in the end under the keys of standard input, as JSON: `python reader.py URL`."""

from __future__ import annotations

import json
import sys

from ringdict import Cluster, Dict

SECRET = "a secret of the tests' cluster"

with Cluster(sys.argv[1], secret=SECRET, timeout_s=30.0) as cluster:
    numbers: Dict[str, int] = Dict.from_name("chaos", cluster=cluster)
    keys = sys.stdin.read().split()
    found: dict[str, int] = {}
    for at in range(0, len(keys), 100):
        found |= numbers.get_many(keys[at : at + 100], fresh=True)
print(json.dumps(found))
