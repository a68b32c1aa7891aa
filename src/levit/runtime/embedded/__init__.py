"""The model that ships inside the package."""
