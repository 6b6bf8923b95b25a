"""A sector's registry as a small REST service: one program, eight descriptions, a database each."""
