"""Entries on several nodes: writes are coordinated, replicas compared and made equal."""
