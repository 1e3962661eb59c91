"""What Linux says of a process."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

__all__ = ["cpu_s", "resident_bytes"]


def cpu_s(pid: int) -> float:
    """Seconds of processor time that the threads of a process have had, to the nanosecond; the ticks in
    /proc/PID/stat are too coarse for a moment."""
    total_ns = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # it has just ended
            total_ns += int((task / "schedstat").read_text().split()[0])
    return total_ns / 1e9


def resident_bytes(pid: int) -> int:
    """Memory that a process has, shared pages included."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise OSError(f"process {pid} says nothing of its memory")
