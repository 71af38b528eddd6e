"""Logs of durable works on disk: a file each, rows that are there once acknowledged, and one thread for all."""
