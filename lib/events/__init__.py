"""Raw rows in; valid events, items, customers, identities and consents out; the rest in quarantine with its reasons."""
