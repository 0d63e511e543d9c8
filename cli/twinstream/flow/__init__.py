"""What flows through the running system, read off the services' metrics."""
