"""The database and the sealed blobs. Knows no table of the domain."""
