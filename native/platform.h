// What operating systems do differently: aligned memory, time, threads, and the instruction sets of Arm.
#pragma once
#include <pthread.h>  // in Windows that of MinGW-w64
#include <sched.h>
#include <cstdint>

namespace levit {

// Memory at a multiple of 64; nullptr if there is none.
void* allocate_aligned(uint64_t bytes);
void free_aligned(void* memory);

// Seconds of a clock that is never set.
double now();

// Ask the operating system for the matrix registers of AMX: Linux gives them only to processes that ask.
bool may_use_matrix_registers();

// Instructions of Arm that not every processor has.
struct ArmFeatures {
  bool dot_product, int8_matrices, bf16;
};
ArmFeatures arm_features();

}  // namespace levit
