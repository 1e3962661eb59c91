"""The cluster's secrets, as a file holds them: one a line. The first is the one that is used, the others are
good as well, while one replaces another.

Rules of this file:
1. A file is written whole or not at all, for its owner's eyes only, and is on the disk before it counts.
2. A file that is there and makes no sense changes nothing for who has read it before.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from ..exception import InvalidError
from ..node.config import SECRETS_MAX
from .config import SECRET_BYTES_MAX

Secrets: TypeAlias = tuple[bytes, ...]
"""The one that is used first; none: the cluster has no secret."""

FILE_BYTES_MAX = SECRETS_MAX * (SECRET_BYTES_MAX + 2)


def parse_secrets(data: bytes, bytes_min: int = 1) -> Secrets:
    """The secrets that stand in these bytes.

    Raises:
        InvalidError: they are none, too many, too short or too long.
    """
    secrets = tuple(dict.fromkeys(line.strip() for line in data.splitlines() if line.strip()))
    if not 0 < len(secrets) <= SECRETS_MAX:
        raise InvalidError(f"from 1 to {SECRETS_MAX} secrets, one a line; not {len(secrets)}")
    for secret in secrets:
        if not bytes_min <= len(secret) <= SECRET_BYTES_MAX:
            raise InvalidError(
                f"a secret has {bytes_min} to {SECRET_BYTES_MAX} bytes on one line, not {len(secret)}"
            )
    return secrets


def is_open(path: str | Path) -> bool:
    """Whether others on this host can read a file."""
    return bool(os.stat(path).st_mode & (stat.S_IRGRP | stat.S_IROTH))


class SecretFile:
    """A file of secrets, read again when it has changed."""

    def __init__(self, path: str | Path, bytes_min: int = 1) -> None:
        self.path = Path(path)
        self._bytes_min = bytes_min
        self._mark: tuple[int, ...] = ()
        self._secrets: Secrets = ()

    def read(self) -> Secrets:
        """What it holds now.

        Raises:
            InvalidError: it cannot be read, or makes no sense.
        """
        try:
            with open(self.path, "rb") as file:
                mark = _mark(os.fstat(file.fileno()))
                data = file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise InvalidError(f"the secret: {error}") from None
        try:
            self._secrets = parse_secrets(data, self._bytes_min)
        except InvalidError as error:
            raise InvalidError(f"{self.path}: {error}") from None
        finally:
            self._mark = mark  # what made no sense is complained of once
        return self._secrets

    def changed(self) -> bool:
        """Whether it is another file than the one that was read last; no if it cannot be looked at."""
        try:
            return _mark(os.stat(self.path)) != self._mark
        except OSError:
            return False

    def current(self) -> Secrets:
        """What it holds, or held when it last made sense."""
        if self.changed():
            with suppress(InvalidError):
                self.read()
        return self._secrets

    def write(self, secrets: Sequence[bytes]) -> None:
        """Put these in its place, and keep its owner.

        Raises:
            InvalidError: it cannot be written.
        """
        target = self.path.resolve()
        fresh = target.with_name(target.name + ".new")
        try:
            owner = target.stat() if target.exists() else None
            fresh.unlink(missing_ok=True)
            number = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with open(number, "wb") as file:
                if owner is not None and os.geteuid() == 0:
                    os.fchown(number, owner.st_uid, owner.st_gid)
                file.write(b"".join(secret + b"\n" for secret in secrets))
                file.flush()
                os.fsync(number)
            fresh.replace(target)
            folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise InvalidError(f"the secret: {error}") from None


def fixed(secret: bytes) -> Callable[[], Secrets]:
    """Of one secret that stays, or of none if it is empty."""
    secrets = (secret,) if secret else ()
    return lambda: secrets


def secrets_from_variables() -> Callable[[], Secrets]:
    """What `RINGDICT_SECRET` says, else the file that `RINGDICT_SECRET_FILE` names, as it is when that is
    asked; else none.

    Raises:
        InvalidError: the file cannot be read, or holds no secret.
    """
    text = os.environ.get("RINGDICT_SECRET")
    if text:
        secrets = parse_secrets(text.encode())
        return lambda: secrets
    path = os.environ.get("RINGDICT_SECRET_FILE")
    if not path:
        return fixed(b"")
    file = SecretFile(path)
    try:
        file.read()
    except InvalidError as error:
        raise InvalidError(f"RINGDICT_SECRET_FILE: {error}") from None
    return file.current


def _mark(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
