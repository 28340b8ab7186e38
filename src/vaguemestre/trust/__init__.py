"""Who may speak for which domain: the signed allow-list, operator certificates, revocation, the authority."""
