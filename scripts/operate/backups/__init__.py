"""Backups of the exchange's servers, and servers from their backups."""
