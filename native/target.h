// The functions that each instruction set implements.
#pragma once
#include "model.h"
#include "team.h"
#include "workspace.h"

namespace levit {

struct Target {
  const char* name;
  // Mean of the tokens of each image, float32 [images][width]; images are 8-bit pixels [height][width][channels], or
  // normalized values [channels][height][width]. Every member of the team calls it.
  void (*features)(const Model& model, const uint8_t* pixels, const float* values, int images, Workspace& workspace,
                   Scratch& scratch, const Member& member, float* features);
  // The head's logits of the panels that belong to this member, [images][outputs].
  void (*logits)(const Model& model, const float* features, int images, const Member& member, float* logits);
};

}  // namespace levit
