"""The journal of facts: appended, chained, never rewritten."""
