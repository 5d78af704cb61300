"""Clienteling: customer segments, market-basket rules and personal recommendations from Delta tables of events."""
