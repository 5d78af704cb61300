"""How good models are, what was chosen of them, and what came of what was offered."""
