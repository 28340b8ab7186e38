"""LDAPv3 from the server's side: octets to requests, answers to octets. No I/O (RFC 4511)."""
