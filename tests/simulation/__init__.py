"""The whole system in one thread: real core, links, agents and ledgers on a simulated clock and a bad network."""
