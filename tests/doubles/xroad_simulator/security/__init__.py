"""A security server: admin API, configuration client, message transport, message log."""
