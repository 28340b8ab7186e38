"""Message formats as pure functions: bytes to values and back. No I/O, hostile input safe."""
