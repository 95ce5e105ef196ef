"""Pages of alerts: rules and incidents."""
