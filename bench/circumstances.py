"""What a run was measured on and with: a figure without it is hearsay."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .place import file_system

__all__ = ["Circumstances"]

PACKAGES = (
    "ringdict",
    "lmdb",
    "msgpack",
    "redis",
    "hiredis",
    "pymemcache",
    "diskcache",
    "coredis",
    "trio",
    "grpcio",
)
SERVERS = {"redis-server": "--version", "memcached": "--version", "etcd": "--version"}


@dataclass(frozen=True)
class Circumstances:
    """Of one run: when, how thoroughly, on what machine, with which version of whom (or "missing")."""

    measured_at: str
    effort: str
    machine: dict[str, str]
    versions: dict[str, str]

    @classmethod
    def now(cls, folder: Path, effort: str) -> Circumstances:
        """Of a run that keeps its stores in `folder`."""
        versions = {package: _package_version(package) for package in PACKAGES}
        versions |= {program: _server_version(program, option) for program, option in SERVERS.items()}
        return cls(datetime.now(UTC).isoformat(timespec="seconds"), effort, _machine(folder), versions)


def _machine(folder: Path) -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "file system": file_system(folder),
    }


def _package_version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _server_version(program: str, option: str) -> str:
    if shutil.which(program) is None:
        return "missing"
    run = subprocess.run([program, option], check=False, capture_output=True, text=True, timeout=10)
    words = run.stdout.split()
    return next(
        (word.removeprefix("v=") for word in words if any(char.isdigit() for char in word)), "unknown"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
