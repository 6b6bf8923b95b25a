"""A central server: admin API, global configuration, registration and management services."""
