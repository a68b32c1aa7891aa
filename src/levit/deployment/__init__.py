"""Canonical weights to the deployment network, without torch."""
