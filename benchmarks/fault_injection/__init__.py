"""Cases with injected faults for faults.py, one module per subject."""
