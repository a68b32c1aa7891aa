// The network in memory: layers and blocks whose arrays are views into a model file.
//
// All widths are multiples of 16: the packer (levit/runtime/native_packing.py) appends channels of zero weight.
#pragma once
#include <cstddef>
#include <cstdint>

namespace levit {

typedef ptrdiff_t Index;  // position in an array; `long` has 32 bits in Windows

constexpr int LANES = 16;           // outputs of one panel of weights
constexpr int MAX_CHANNELS = 4;     // of the input image

enum class Precision : uint32_t { fp32 = 0, int8 = 1, bf16 = 2 };
enum class Activation : uint32_t { none = 0, hardswish = 1, silu = 2, gelu = 3, gelu_tanh = 4 };

// Quantization of the input of a layer: code = round(value / step) + zero, in [0, 255].
struct Quantization {
  float step, zero;
  bool operator==(const Quantization& other) const { return step == other.step && zero == other.zero; }
};

// Matrix product with `inputs` values in each of `segments` rows of memory; linear layers have one segment.
//
// Weights are stored in panels of 16 outputs: fp32 [outputs / 16][segments * inputs][16], int8
// [outputs / 16][depth / 4][16][4] and bf16 [outputs / 16][depth / 2][16][2], with `depth` values a panel: each segment
// is padded to 4 or 2 values with zeros, and the panel to 16 steps of as many. int8: value = sum * scale + bias.
struct Layer {
  Precision precision;
  int inputs, segments, outputs, depth;
  const void* weights;
  const float *scale, *bias;
  Quantization input;  // int8 only
  int panels() const { return outputs / LANES; }
};

// Convolution of the stem.
struct Convolution {
  Layer layer;
  int channels, kernel, stride, padding, in_height, in_width, out_height, out_width;
};

struct Attention {
  Layer query, key, value, projection;
  const float* bias;  // [heads][rows between query and key][columns between them, from 1 - in_width on], in units of log2
  int heads, key_dim, value_dim, in_height, in_width, out_height, out_width, stride;
  bool is_residual;
  int keys() const { return in_height * in_width; }
  int queries() const { return out_height * out_width; }
  // Length of a row of the bias: vectors may be read from each column.
  int bias_row() const { return padded(in_width - 1 + padded(in_width)); }
  static int padded(int count) { return (count + LANES - 1) / LANES * LANES; }
};

struct Mlp {
  Layer up, down;
};

struct Block {
  bool is_attention;
  Attention attention;
  Mlp mlp;
};

// Largest sizes of the intermediate results of one image, in values; they determine the memory of a workspace.
struct Sizes {
  uint64_t stem, tokens, stream, rows, context, hidden, keys, values, scores, row;
};

struct Model {
  Activation stem_activation, attention_activation, mlp_activation;
  bool allows_16_bit;  // bf16 or int16 in the attention of layers that are not in fp32
  int channels, height, width, labels;
  float pixel_scale[MAX_CHANNELS], pixel_shift[MAX_CHANNELS];
  int convolution_count, block_count;
  Convolution* convolutions;
  Block* blocks;
  Layer head;
  Sizes sizes;
};

// Read a model file and check every size and offset. Returns nullptr, and a sentence in `error`, for a damaged file.
// The file must outlive the model, at an address that is a multiple of 64.
Model* read_model(const uint8_t* file, uint64_t size, const char** error);
void free_model(Model* model);

}  // namespace levit
