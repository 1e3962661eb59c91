"""The door of a real node's leaders: Dicts that are known, keys and values within limits."""

from __future__ import annotations

from collections.abc import Callable

from ..config import KEY_BYTES_MAX
from ..network.leadermessage import Act, Verb
from ..network.message import Reason
from ..replicas.admission import TTL_MS_MAX, Admission
from ..replicas.stamper import VERSION_MAX
from ..store.layout import CATALOGUE, KEY_SPACE, LOCK_SPACE


class Admittance:
    """One node's, as its door for plain requests has it."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    def knows(self, dict_id: bytes) -> bool:
        return dict_id == CATALOGUE or self._admission.knows(dict_id)

    def find(self, dict_id: bytes, then: Callable[[], None]) -> None:
        self._admission.find_dict(dict_id, then)

    def fault(self, act: Act) -> tuple[Reason, str]:
        key = act.key
        if self._admission.is_closed:
            return Reason.NOT_SERVING, "this node is going down"
        if len(key) - (key[:1] == LOCK_SPACE) > KEY_BYTES_MAX:
            return Reason.TOO_LARGE, f"a key has {len(key)} bytes, and {KEY_BYTES_MAX} at the most"
        size_bytes = max(len(act.body), len(act.initial))
        if size_bytes > self._admission.value_bytes_max:
            text = f"a value has {size_bytes} bytes, and {self._admission.value_bytes_max} at the most"
            return Reason.TOO_LARGE, text
        fault = ""
        if act.dict_id != CATALOGUE and key[:1] < KEY_SPACE and key[:1] != LOCK_SPACE:
            fault = "that is no key"
        elif not Verb.PUT_IF_ABSENT <= act.verb < Verb.CLEAR:
            fault = "no such operation on a key"
        elif act.ttl_ms > TTL_MS_MAX:
            fault = f"no time to live has {act.ttl_ms} ms"
        elif act.version >= VERSION_MAX:
            fault = f"no version is as high as {act.version}"
        return Reason.INVALID, fault
