"""The directory by LDAP, read only."""
