"""Kills, pauses, cuts and floods at random from a seed while work goes on that is verified, each held to its bars."""
