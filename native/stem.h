// The stem: convolutions as products of rows of pixels, which are read from the padded image without copies.
#pragma once
#include "epilogues.h"
#include "team.h"
#include "workspace.h"

namespace levit::LEVIT_TARGET {

INLINE int padded_width(const Convolution& c) { return c.in_width + 2 * c.padding; }
INLINE int padded_height(const Convolution& c) { return c.in_height + 2 * c.padding; }
INLINE bool is_int8(const Layer& layer) { return layer.precision == Precision::int8; }

template <class T>
void fill(T* from, T* to, T value) {
  for (; from < to; from++) *from = value;
}

// Set the border of a padded image to the code or value of zero.
template <class T>
void fill_border(const Convolution& c, T* image, T value, const Member& member) {
  const long line = long(padded_width(c)) * c.channels, side = long(c.padding) * c.channels;
  for (int y = member.begin(padded_height(c)); y < member.end(padded_height(c)); y++) {
    T* start = image + y * line;
    const bool is_outside = y < c.padding || y >= c.padding + c.in_height;
    if (is_outside) fill(start, start + line, value);
    else fill(start, start + side, value), fill(start + line - side, start + line, value);
  }
}

// 8-bit pixels [height][width][channels] or normalized values [channels][height][width] of one image.
struct Image {
  const uint8_t* pixels;
  const float* values;
};

// Scale and shift of the channels, in the order of the memory of a line: they repeat after `channels` vectors.
struct Normalization {
  Floats scale[MAX_CHANNELS], shift[MAX_CHANNELS];
  explicit Normalization(const Model& m) {
    for (int i = 0; i < m.channels; i++)
      for (int lane = 0; lane < LANES; lane++) {
        scale[i][lane] = m.pixel_scale[(i * LANES + lane) % m.channels];
        shift[i][lane] = m.pixel_shift[(i * LANES + lane) % m.channels];
      }
  }
};

// Normalized values of a line of the image, channels last: value = pixel * scale + shift.
INLINE void normalize_line(const Model& m, const Normalization& normalization, const Image& image, int y, float* out) {
  const int count = m.width * m.channels;
  if (image.pixels) {
    const uint8_t* line = image.pixels + long(y) * count;
    int x = 0;
    for (int i = 0; x + LANES <= count; x += LANES, i = i + 1 == m.channels ? 0 : i + 1) {
      const Bytes pixels = *reinterpret_cast<const LooseBytes*>(line + x);
      store(out + x, __builtin_convertvector(pixels, Floats) * normalization.scale[i] + normalization.shift[i]);
    }
    for (; x < count; x++) out[x] = line[x] * m.pixel_scale[x % m.channels] + m.pixel_shift[x % m.channels];
    return;
  }
  for (int c = 0; c < m.channels; c++) {
    const float* line = image.values + (long(c) * m.height + y) * m.width;
    for (int x = 0; x < m.width; x++) out[x * m.channels + c] = line[x];
  }
}

INLINE void quantize(const float* values, long count, const Quantization& quantization, uint8_t* codes) {
  const Floats inverse = splat(1 / quantization.step), zero = splat(quantization.zero);
  long i = 0;
  for (; i + LANES <= count; i += LANES) store_codes(codes + i, load(values + i) * inverse + zero);
  for (uint8_t last[LANES]; i < count; i++) {
    store_codes(last, splat(values[i]) * inverse + zero);
    codes[i] = last[0];
  }
}

// Copy the image into the padded input of the first convolution, normalized and, in int8, quantized.
inline void read_image(const Model& m, const Image& image, Workspace& w, const Member& member) {
  const Convolution& c = m.convolutions[0];
  const Normalization normalization(m);
  const long line = long(padded_width(c)) * c.channels;
  float* own_line = w.stem_values[0] + member.begin(c.in_height) * line;
  for (int y = member.begin(c.in_height); y < member.end(c.in_height); y++) {
    const long at = (y + c.padding) * line + long(c.padding) * c.channels;
    float* values = is_int8(c.layer) ? own_line : w.stem_values[0] + at;
    normalize_line(m, normalization, image, y, values);
    if (is_int8(c.layer)) quantize(values, long(c.in_width) * c.channels, c.layer.input, w.stem_codes[0] + at);
  }
}

// Where a convolution writes: inside the padding of the next one, or the tokens.
INLINE Output convolution_output(const Model& m, int index, Workspace& w, int image, const Quantization& stream_input, bool has_codes) {
  if (index + 1 == m.convolution_count) {
    const Convolution& c = m.convolutions[index];
    const long at = long(image) * c.out_height * c.out_width * c.layer.outputs;
    return {w.stream + at, has_codes ? w.codes + at : nullptr, c.layer.outputs, nullptr, stream_input, Activation::none};
  }
  const Convolution& next = m.convolutions[index + 1];
  const long at = (long(next.padding) * padded_width(next) + next.padding) * next.channels;
  const int side = (index + 1) % 2;
  if (is_int8(next.layer)) return {nullptr, w.stem_codes[side] + at, next.channels, nullptr, next.layer.input, m.activation};
  return {w.stem_values[side] + at, nullptr, next.channels, nullptr, {1, 0}, m.activation};
}

inline void convolve(const Model& m, int index, Workspace& w, const Output& out, const Member& member) {
  const Convolution& c = m.convolutions[index];
  const long line = long(padded_width(c)) * c.channels;
  const bool is_last = index + 1 == m.convolution_count;
  const long out_line = out.row * (is_last ? c.out_width : padded_width(m.convolutions[index + 1]));
  for (int y = member.begin(c.out_height); y < member.end(c.out_height); y++) {
    const long from = y * c.stride * line;
    const Input in{w.stem_values[index % 2] + from, w.stem_codes[index % 2] + from, long(c.stride) * c.channels, line};
    Output to = out;
    if (to.values) to.values += y * out_line;
    if (to.codes) to.codes += y * out_line;
    apply_layer(c.layer, in, c.out_width, 0, c.layer.panels(), to);
  }
}

// Tokens of one image of a group, quantized for the first layer after the stem if that is in int8.
inline void run_stem(const Model& m, const Image& image, Workspace& w, int slot, const Quantization& stream_input,
                     bool has_codes, const Member& member) {
  for (int index = 0; index < m.convolution_count; index++) {
    const Convolution& c = m.convolutions[index];
    const int side = index % 2;
    if (is_int8(c.layer)) fill_border(c, w.stem_codes[side], static_cast<uint8_t>(c.layer.input.zero), member);
    else fill_border(c, w.stem_values[side], 0.f, member);
    if (index == 0) read_image(m, image, w, member);
    member.wait();
    convolve(m, index, w, convolution_output(m, index, w, slot, stream_input, has_codes), member);
  }
  member.wait();
}

}  // namespace levit::LEVIT_TARGET
