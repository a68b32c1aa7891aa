// Format of a model file: little-endian records, then arrays at offsets that are multiples of 64.
#pragma once
#include <cstdint>

namespace levit::file {

constexpr char MAGIC[8] = {'L', 'E', 'V', 'I', 'T', 'N', 'A', 'T'};
constexpr uint32_t VERSION = 3;

struct Header {
  char magic[8];
  uint32_t version, allows_16_bit;
  uint64_t size;  // of the file
  uint32_t channels, height, width, labels;
  uint32_t layers, convolutions, blocks, stem_activation, attention_activation, mlp_activation;
  float pixel_scale[4], pixel_shift[4];
};
static_assert(sizeof(Header) == 96);

struct Layer {
  uint32_t precision, inputs, segments, outputs;
  uint64_t weights, scale, bias;  // offsets in the file; scale is 0 in fp32 and bf16
  float step, zero;
};
static_assert(sizeof(Layer) == 48);

// The n-th convolution has the n-th layer.
struct Convolution {
  uint32_t channels, kernel, stride, padding, in_height, in_width, out_height, out_width;
};
static_assert(sizeof(Convolution) == 32);

// Attention: kind 0, four layers (query, key, value, projection); MLP: kind 1, two layers (up, down). Blocks have the
// layers after those of the convolutions, in order; the last layer is the head.
struct Block {
  uint32_t kind, heads, key_dim, value_dim, in_height, in_width, out_height, out_width, stride, is_residual;
  uint64_t bias;
};
static_assert(sizeof(Block) == 48);

}  // namespace levit::file
