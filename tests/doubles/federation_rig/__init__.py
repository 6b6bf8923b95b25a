"""A federation of simulators on loopback addresses and an engine that manages it, for tests."""
