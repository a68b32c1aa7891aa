"""Classify one photo with the torch network, and print the shapes of its features and attention maps.

python examples/network.py examples/cat.jpg facebook/levit-128S
"""

import argparse

import torch
from PIL import Image

import levit

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("photo")
parser.add_argument("model")
arguments = parser.parse_args()

processor = levit.load_image_processor(arguments.model)
model = levit.load_checkpoint(arguments.model)

inputs = processor(Image.open(arguments.photo), return_tensors="pt")
with torch.no_grad():
    output = model(**inputs, output_hidden_states=True, output_attentions=True)

for score, index in zip(*output.logits.softmax(dim=-1)[0].topk(5), strict=True):
    print(f"{score:6.1%}  {model.config.id2label[int(index)]}")
print("tokens after each stage:", [tuple(state.shape[1:]) for state in output.hidden_states])
print("attention (heads, queries, keys):", [tuple(attention.shape[1:]) for attention in output.attentions])
