"""A pretend Pro Santé Connect, for the demo and for tests: a process of its own that nothing in the product knows is pretend."""
