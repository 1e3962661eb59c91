"""The one way to say that a value is too large."""

from __future__ import annotations

from ..exception import ValueTooLargeError

__all__ = ["too_large"]


def too_large(size_bytes: int, bytes_max: int) -> ValueTooLargeError:
    """Return the error for a value of `size_bytes` or more: who finds out early stops counting there."""
    return ValueTooLargeError(f"the value has {size_bytes} bytes or more: at most {bytes_max} are allowed")
