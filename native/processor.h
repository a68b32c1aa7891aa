// Instruction sets of this processor.
#pragma once
#include "target.h"

namespace levit {

// Targets that were compiled, fastest first.
extern const Target* const TARGETS[];
extern const int TARGET_COUNT;

// Whether this processor, and the operating system, run a target.
bool is_supported(const Target& target);

}  // namespace levit
