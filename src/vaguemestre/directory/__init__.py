"""The certified register of professionals, organizations and their addresses: who is who, and how to write to them."""
