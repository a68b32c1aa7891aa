// Memory for the intermediate results of a few images.
#pragma once
#include "model.h"

namespace levit {

// Largest number of images that are computed together. The rows of all of them are multiplied with a panel of weights
// while it is in the cache: of small images more, since they have fewer rows.
int group_size(const Model& model);

struct Workspace {
  int images;               // at most
  uint8_t* stem_codes[2];   // padded images, input and output of a convolution
  float* stem_values[2];
  float* stream;            // tokens: the residual stream
  float* next_stream;       // after an attention that subsamples
  // What layers in int8 or bf16 read: codes of one byte or, in AVX2, two bytes, or values of two bytes.
  uint8_t *codes, *next_codes;  // the residual stream, for the next layer
  uint8_t* other_codes;     // for a layer with another quantization
  float* chosen;            // every stride-th token
  uint8_t* chosen_codes;
  float* rows;              // queries, keys and values
  float* context;
  uint8_t* context_codes;
  float* hidden;
  uint8_t* hidden_codes;
};

// Memory of one thread for attention.
struct Scratch {
  float* keys;    // of one head, transposed
  float* scores;  // of a few queries
  float* bias;    // of these
  // In bf16 or int16: panels of keys and values of one head, and the powers of two and rows of a few queries.
  uint16_t *keys_16_bit, *values_16_bit, *powers, *queries_16_bit;
};

constexpr int MAX_QUERIES = 16;  // computed together

Workspace* new_workspace(const Model& model, int images);  // nullptr without memory
void free_workspace(Workspace* workspace);
Scratch* new_scratch(const Model& model);
uint64_t memory_of_a_thread(const Model& model);  // bytes of a workspace for a group of images, and of a scratch
void free_scratch(Scratch* scratch);

}  // namespace levit
