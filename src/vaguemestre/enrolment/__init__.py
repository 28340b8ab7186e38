"""From a proven identity to a mailbox: who somebody is in the register, which address they get, and its life."""
