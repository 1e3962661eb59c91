"""What an acceptor accepted, and was not told that it is chosen."""

from __future__ import annotations

from ringdict.node.leaders.record import bucket_of
from ringdict.node.leaders.untold import Untold


def test_what_was_accepted_is_untold_until_it_is_told() -> None:
    untold = Untold()
    for name in (b"one", b"two", b"one"):
        untold.accepted(3, name)
    untold.accepted(4, b"one")
    assert sorted(untold.names(3, lambda _bucket: True)) == [b"one", b"two"]
    assert untold.names(3, bucket_of(b"two").__eq__) == [b"two"]
    untold.told(3, b"one")
    untold.told(3, b"one")
    untold.told(5, b"one")
    assert untold.names(3, lambda _bucket: True) == [b"two"]
    assert untold.names(4, lambda _bucket: True) == [b"one"]


def test_the_oldest_gives_way_and_the_newest_is_kept() -> None:
    """Once it was full of names of which the word had been lost, nothing new was kept: what a leader that
    died had told nobody was then shown nowhere."""
    untold = Untold(names_max=2)
    for name in (b"one", b"two", b"one", b"three"):
        untold.accepted(0, name)
    assert untold.names(0, lambda _bucket: True) == [b"one", b"three"]
