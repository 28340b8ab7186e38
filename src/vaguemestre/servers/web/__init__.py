"""What people reach with a browser: signing in, their means of doing so, and opening a mailbox. JSON over HTTPS."""
