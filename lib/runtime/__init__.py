"""The only rooms that touch the world: session, sources, store, lease, releases, views, clock and console."""
