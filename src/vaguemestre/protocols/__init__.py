"""Wire protocols as machines: bytes to commands, replies and states. No I/O."""
