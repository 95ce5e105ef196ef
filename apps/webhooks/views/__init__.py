"""The pages of this app, all for admins: endpoints, their deliveries, and the banner."""
