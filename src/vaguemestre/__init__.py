"""The open MSSanté stack: what an operator needs to exchange health mail, and to prove what was exchanged."""
