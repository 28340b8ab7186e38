"""Mail programs, read and served: IMAP4rev1 and IMAP4rev2 sessions on the mailstore."""
