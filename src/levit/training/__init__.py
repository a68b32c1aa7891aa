"""Training and distillation with resumable, deterministic runs (torch, timm, accelerate)."""
