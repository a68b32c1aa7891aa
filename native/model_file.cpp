// A model file is data from a stranger: every size, offset and shape is checked before a pointer is made.
#include "model_file.h"

#include <cstdlib>
#include <cstring>

#include "model.h"
#include "workspace.h"

namespace levit {
namespace {

constexpr uint32_t MAX_SIDE = 1 << 14, MAX_WIDTH = 1 << 16, MAX_COUNT = 1 << 13, MAX_KERNEL = 256;
constexpr uint64_t MAX_TOKENS = 1 << 16, MAX_MEMORY = uint64_t(1) << 31;  // bytes of a thread

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }
void grow(uint64_t& largest, uint64_t value) { largest = value > largest ? value : largest; }
bool is_finite(float value) { return value - value == 0; }
bool is_width(uint32_t value) { return value > 0 && value <= MAX_WIDTH && value % LANES == 0; }

class Reader {
 public:
  Reader(const uint8_t* file, uint64_t size) : file_(file), size_(size) {}
  const char* error = nullptr;

  Model* read() {
    Model* model = static_cast<Model*>(calloc(1, sizeof(Model)));
    if (model == nullptr) {
      error = "out of memory";
      return nullptr;
    }
    model_ = model;
    if (header(*model) && convolutions(*model) && blocks(*model) && head(*model) && memory(*model)) return model;
    free_model(model);
    return nullptr;
  }

 private:
  const uint8_t* file_;
  uint64_t size_, at_ = 0;
  file::Header header_;
  Model* model_ = nullptr;
  uint64_t layers_at_ = 0;
  uint32_t next_layer_ = 0;
  int width_ = 0, rows_ = 0, columns_ = 0;  // of the tokens, block by block

  bool fail(const char* reason) {
    error = reason;
    return false;
  }
  template <class T>
  bool take(T& record) {
    if (size_ - at_ < sizeof(T)) return fail("the file is too short");
    memcpy(&record, file_ + at_, sizeof(T));
    at_ += sizeof(T);
    return true;
  }
  template <class T>
  bool view(uint64_t offset, uint64_t count, const T*& array) {
    if (offset % 64 || offset > size_ || count > (size_ - offset) / sizeof(T)) return fail("an array is not in the file");
    array = reinterpret_cast<const T*>(file_ + offset);
    return true;
  }

  bool header(Model& model) {
    if (reinterpret_cast<uintptr_t>(file_) % 64) return fail("the file is not at a multiple of 64");
    if (!take(header_)) return false;
    const file::Header& h = header_;
    if (memcmp(h.magic, file::MAGIC, sizeof(h.magic)) || h.version != file::VERSION) return fail("not a model file");
    if (h.size != size_) return fail("the file is incomplete");
    const uint32_t activations[] = {h.stem_activation, h.attention_activation, h.mlp_activation};
    for (uint32_t activation : activations)
      if (activation > static_cast<uint32_t>(Activation::gelu_tanh)) return fail("unknown activation");
    if (!h.channels || h.channels > MAX_CHANNELS || !h.height || h.height > MAX_SIDE || !h.width || h.width > MAX_SIDE)
      return fail("wrong size of the image");
    if (!h.labels || h.labels > MAX_WIDTH) return fail("wrong number of labels");
    if (!h.convolutions || h.convolutions > MAX_COUNT || h.blocks > MAX_COUNT || h.layers > 8 * MAX_COUNT)
      return fail("wrong number of layers");
    if (h.allows_16_bit > 1) return fail("unknown precision");
    model.allows_16_bit = h.allows_16_bit;
    model.stem_activation = static_cast<Activation>(h.stem_activation);
    model.attention_activation = static_cast<Activation>(h.attention_activation);
    model.mlp_activation = static_cast<Activation>(h.mlp_activation);
    model.channels = h.channels, model.height = h.height, model.width = h.width, model.labels = h.labels;
    memcpy(model.pixel_scale, h.pixel_scale, sizeof(h.pixel_scale));
    memcpy(model.pixel_shift, h.pixel_shift, sizeof(h.pixel_shift));
    model.convolutions = static_cast<Convolution*>(calloc(h.convolutions, sizeof(Convolution)));
    model.blocks = static_cast<Block*>(calloc(h.blocks + 1, sizeof(Block)));
    if (!model.convolutions || !model.blocks) return fail("out of memory");
    layers_at_ = at_;
    if ((size_ - at_) / sizeof(file::Layer) < h.layers) return fail("the file is too short");
    at_ += h.layers * sizeof(file::Layer);
    return true;
  }

  // Next layer, with the sizes that it must have; outputs 0: any.
  bool layer(Layer& layer, uint32_t inputs, uint32_t segments, uint32_t outputs) {
    if (next_layer_ >= header_.layers) return fail("too few layers");
    file::Layer r;
    memcpy(&r, file_ + layers_at_ + next_layer_++ * sizeof(r), sizeof(r));
    if (r.precision > 2) return fail("unknown precision");
    if (r.inputs != inputs || r.segments != segments || (outputs && r.outputs != outputs) || !is_width(r.outputs))
      return fail("a layer of another size");
    const bool is_int8 = r.precision == 1;
    const uint64_t unit = is_int8 ? 4 : r.precision == 2 ? 2 : 1;  // values of one step, which 4 bytes hold
    const uint64_t depth = round_up(round_up(inputs, unit) * segments, unit == 1 ? 1 : 16 * unit);
    if (depth > (1 << 24)) return fail("a layer of another size");
    layer.precision = static_cast<Precision>(r.precision);
    layer.inputs = inputs, layer.segments = segments, layer.outputs = r.outputs, layer.depth = static_cast<int>(depth);
    layer.input = {r.step, r.zero};
    grow(model_->sizes.row, inputs);
    if (!view(r.bias, r.outputs, layer.bias)) return false;
    const uint8_t* weights;
    if (!view(r.weights, depth * r.outputs * (4 / unit), weights)) return false;
    layer.weights = weights;
    if (!is_int8) return true;
    if (!is_finite(r.step) || r.step <= 0 || !is_finite(1 / r.step) || !(r.zero >= 0 && r.zero <= 255))
      return fail("wrong quantization");
    return view(r.scale, r.outputs, layer.scale);
  }

  bool convolutions(Model& model) {
    uint32_t channels = model.channels, height = model.height, width = model.width;
    model.convolution_count = header_.convolutions;
    for (uint32_t i = 0; i < header_.convolutions; i++) {
      file::Convolution r;
      if (!take(r)) return false;
      if (r.channels != channels || r.in_height != height || r.in_width != width) return fail("a convolution of another size");
      if (!r.kernel || r.kernel > MAX_KERNEL || !r.stride || r.stride > MAX_KERNEL || r.padding > MAX_KERNEL)
        return fail("a convolution of another size");
      const uint32_t padded_height = height + 2 * r.padding, padded_width = width + 2 * r.padding;
      if (padded_height < r.kernel || padded_width < r.kernel || r.out_height != (padded_height - r.kernel) / r.stride + 1 ||
          r.out_width != (padded_width - r.kernel) / r.stride + 1)
        return fail("a convolution of another size");
      Convolution& c = model.convolutions[i];
      if (!layer(c.layer, r.kernel * channels, r.kernel, 0)) return false;
      c.channels = channels, c.kernel = r.kernel, c.stride = r.stride, c.padding = r.padding;
      c.in_height = height, c.in_width = width, c.out_height = r.out_height, c.out_width = r.out_width;
      grow(model.sizes.row, uint64_t(r.stride) * channels);
      grow(model.sizes.stem, (uint64_t(padded_height) * padded_width + r.kernel) * channels);
      channels = c.layer.outputs, height = r.out_height, width = r.out_width;
    }
    width_ = channels, rows_ = height, columns_ = width;
    return tokens(model);
  }

  bool tokens(Model& model) {
    const uint64_t count = uint64_t(rows_) * columns_;
    if (!count || count > MAX_TOKENS) return fail("too many tokens");
    grow(model.sizes.tokens, count);
    grow(model.sizes.stream, count * width_);
    return true;
  }

  bool blocks(Model& model) {
    model.block_count = header_.blocks;
    for (uint32_t i = 0; i < header_.blocks; i++) {
      file::Block r;
      if (!take(r)) return false;
      Block& block = model.blocks[i];
      block.is_attention = r.kind == 0;
      if (r.kind > 1) return fail("unknown block");
      if (!(block.is_attention ? attention(model, block.attention, r) : mlp(model, block.mlp)) || !tokens(model)) return false;
    }
    return true;
  }

  bool attention(Model& model, Attention& a, const file::Block& r) {
    if (!r.heads || r.heads > 4096 || !is_width(r.key_dim) || !is_width(r.value_dim) || !r.stride || r.is_residual > 1)
      return fail("an attention of another size");
    const uint64_t keys_width = uint64_t(r.heads) * r.key_dim, values_width = uint64_t(r.heads) * r.value_dim;
    if (keys_width > MAX_WIDTH || values_width > MAX_WIDTH) return fail("an attention of another size");
    if (r.in_height != uint32_t(rows_) || r.in_width != uint32_t(columns_) || r.out_height != (rows_ - 1) / r.stride + 1 ||
        r.out_width != (columns_ - 1) / r.stride + 1 || (r.is_residual && r.stride != 1))
      return fail("an attention of another size");
    a.heads = r.heads, a.key_dim = r.key_dim, a.value_dim = r.value_dim, a.stride = r.stride, a.is_residual = r.is_residual;
    a.in_height = r.in_height, a.in_width = r.in_width, a.out_height = r.out_height, a.out_width = r.out_width;
    if (!layer(a.query, width_, 1, keys_width) || !layer(a.key, width_, 1, keys_width) ||
        !layer(a.value, width_, 1, values_width) || !layer(a.projection, values_width, 1, a.is_residual ? width_ : 0))
      return false;
    const uint64_t padded = round_up(a.keys(), LANES), queries = a.queries();
    // Vectors may begin before a row of the bias and end behind it.
    if (r.bias < LANES * sizeof(float)) return fail("an array is not in the file");
    if (!view(r.bias, uint64_t(a.heads) * a.in_height * a.bias_row() + LANES, a.bias)) return false;
    grow(model.sizes.rows, a.keys() * (2 * keys_width + values_width));
    grow(model.sizes.context, queries * values_width);
    grow(model.sizes.row, keys_width);
    grow(model.sizes.keys, padded * a.key_dim);
    grow(model.sizes.values, round_up(a.keys(), 2 * LANES) * a.value_dim);
    grow(model.sizes.scores, padded);
    width_ = a.projection.outputs, rows_ = a.out_height, columns_ = a.out_width;
    return true;
  }

  bool mlp(Model& model, Mlp& m) {
    if (!layer(m.up, width_, 1, 0) || !layer(m.down, m.up.outputs, 1, width_)) return false;
    grow(model.sizes.hidden, uint64_t(rows_) * columns_ * m.up.outputs);
    return true;
  }

  bool head(Model& model) {
    const uint32_t outputs = static_cast<uint32_t>(round_up(model.labels, LANES));
    if (!layer(model.head, width_, 1, outputs)) return false;
    if (model.head.precision != Precision::fp32) return fail("unknown precision");
    return next_layer_ == header_.layers || fail("too many layers");
  }

  bool memory(const Model& model) {
    return memory_of_a_thread(model) <= MAX_MEMORY || fail("it needs too much memory");
  }
};

}  // namespace

Model* read_model(const uint8_t* file, uint64_t size, const char** error) {
  Reader reader(file, size);
  Model* model = reader.read();
  *error = reader.error;
  return model;
}

void free_model(Model* model) {
  if (model == nullptr) return;
  free(model->convolutions);
  free(model->blocks);
  free(model);
}

}  // namespace levit
