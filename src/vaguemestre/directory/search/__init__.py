"""Search of the register: people and structures found as their names are typed, in a local index made from it."""
