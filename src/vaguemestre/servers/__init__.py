"""Socket, protocol machine, domain: where bytes meet the rules. Each server has one table from error to reply."""
