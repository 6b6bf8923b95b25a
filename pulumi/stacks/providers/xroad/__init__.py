"""Manages an X-Road federation through the admin APIs of its servers."""
