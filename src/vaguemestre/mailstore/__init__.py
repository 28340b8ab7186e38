"""Accounts, mailboxes and messages: what a professional keeps."""
