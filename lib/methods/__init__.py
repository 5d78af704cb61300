"""Mathematics with no domain."""
