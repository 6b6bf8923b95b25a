"""Test equipment that behaves like an X-Road central server and security servers.

It is not X-Road and nothing in production depends on it; README.md says what it covers.
"""

VERSION = "7.8.0-simulator"
"""What the version operations answer: the API level that is followed, marked as the simulator's."""
