"""Conversion of canonical weights to the deployment network, without torch."""
