"""SMTP (RFC 5321) without I/O: server and client machines."""
