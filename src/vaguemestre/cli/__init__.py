"""One file a subcommand: parses arguments and prints, holds no rules."""
