"""Groups of customers, and what each group is."""
