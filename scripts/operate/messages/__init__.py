"""Checking X-Road's signed documents: who sent what to whom, and when, by the root certificate alone."""
