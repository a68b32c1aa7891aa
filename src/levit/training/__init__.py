"""Train with a teacher, and go on after an interruption as if there had been none (torch, timm, accelerate)."""
