"""The pages of this room, all for admins: endpoints, their deliveries, the banner."""
