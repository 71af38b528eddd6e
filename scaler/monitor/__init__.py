"""Readers of the monitor stream. They only subscribe; none of them can slow the scheduler down."""
