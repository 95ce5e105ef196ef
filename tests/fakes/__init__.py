"""Stand-ins for servers of others: real processes that speak the real protocol."""
