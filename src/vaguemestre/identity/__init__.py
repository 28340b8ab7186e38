"""Who somebody is, how they prove it, and what they may do: facts and rules, of persons rather than of mail."""
