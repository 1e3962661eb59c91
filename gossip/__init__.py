"""WHO is here. Pure: time comes in as an argument.

`core.Gossip` is the one object that a node holds; docs/gossip.md says what it does and why.
"""
