"""`twinstream project`: folders in which people explore the lake."""
