"""The time stamping authority: it states, under its key, that a hash existed at a time (RFC 3161)."""
