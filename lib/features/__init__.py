"""What is known about each customer, as numbers."""
