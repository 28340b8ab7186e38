"""What the tests put around an operator: a trust space, other operators, callers and servers that misbehave on request."""
