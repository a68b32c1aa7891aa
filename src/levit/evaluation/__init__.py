"""Judges anything with the Engine protocol; so far its speed."""

import levit.runtime  # noqa: F401 (before OpenVINO, which it keeps silent)
