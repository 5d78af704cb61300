"""A simulated shop with a planted truth: customers, items, events and what really made them."""
