"""What `ringdict adjust` makes of a member: another weight, another zone, or both."""

from __future__ import annotations

from dataclasses import replace

from ...exception import InvalidError
from ...ring.config import WEIGHTS_MAX, ZONE_BYTES_MAX
from ...ring.member import Member
from .arguments import Arguments


def adjusted(member: Member, args: Arguments) -> Member:
    """The member as it is wished.

    Raises:
        InvalidError: nothing is wished, or what no member can be.
    """
    if args.weight is None and args.zone is None:
        raise InvalidError("say what is to be another: --weight N, --zone NAME, or both")
    if args.weight is not None:
        if not (args.weight.isascii() and args.weight.isdigit() and 1 <= int(args.weight) <= WEIGHTS_MAX):
            raise InvalidError(f"--weight is from 1 to {WEIGHTS_MAX}, not {args.weight!r}")
        member = replace(member, weight=int(args.weight))
    if args.zone is not None:
        if len(args.zone.encode()) > ZONE_BYTES_MAX:
            raise InvalidError(f"--zone has at most {ZONE_BYTES_MAX} bytes")
        member = replace(member, zone=args.zone)
    return member


def as_words(member: Member) -> str:
    """What it weighs, and where it is."""
    return f"weight {member.weight}" + (f" and zone {member.zone}" if member.zone else " and no zone")
