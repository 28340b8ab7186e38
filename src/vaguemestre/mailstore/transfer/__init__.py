"""Free choice of operator: an account's mail goes out whole, and comes in whole, by formats that others read.

What it keeps true: nothing is lost and nothing doubled, however often a run is killed and started again; flags, keywords,
dates, folders and every octet come along; what cannot be read is named in the report, and what follows it goes on. At the
end count and digest of each folder are compared with what really stands there.

Flow in: a *source* (`mbox`, `maildir`, `archive`, `remote`) offers messages → `filing` puts them into mailboxes, in batches
→ `importation` reports. Flow out: `exportation` → a *sink* (`mbox`, `maildir`, `archive`), read back by the source of the
same format. Progress needs no file of its own: what is there already is recognised by its content.
"""
