"""Atomic operations: leaders of partitions, and the protocol by which no fault grants twice."""
