"""One training step with a distillation teacher: hard distillation as in the paper, or `distillation_type="soft"`."""

import torch

import levit

config = levit.LevitConfig.from_variant("levit-128s", num_labels=10, distillation_type="hard", distillation_alpha=0.5)
student = levit.LevitForImageClassificationWithTeacher(config).train()
teacher = levit.LevitForImageClassification(levit.LevitConfig.from_variant("levit-256", num_labels=10)).eval()
optimizer = torch.optim.AdamW(student.parameters(), lr=5e-4)

pixel_values, labels = torch.randn(8, 3, 224, 224), torch.randint(0, 10, (8,))
with torch.no_grad():
    teacher_logits = teacher(pixel_values).logits
loss = student(pixel_values, labels=labels, teacher_logits=teacher_logits).loss
loss.backward()
optimizer.step()
print(f"loss: {loss.item():.3f}")
