// The stem: convolutions as products of rows of pixels, which are read from the padded image without copies.
#pragma once
#include "epilogues.h"
#include "team.h"
#include "workspace.h"

namespace levit::LEVIT_TARGET {

INLINE int padded_width(const Convolution& c) { return c.in_width + 2 * c.padding; }
INLINE int padded_height(const Convolution& c) { return c.in_height + 2 * c.padding; }

template <class T>
void fill(T* from, T* to, T value) {
  for (; from < to; from++) *from = value;
}

// Set the border of a padded image to the code or value of zero.
template <class T>
void fill_border(const Convolution& c, T* image, T value, const Member& member) {
  const Index line = Index(padded_width(c)) * c.channels, side = Index(c.padding) * c.channels;
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
    const uint8_t* line = image.pixels + Index(y) * count;
    int x = 0;
    for (int i = 0; x + LANES <= count; x += LANES, i = i + 1 == m.channels ? 0 : i + 1) {
      const Bytes pixels = *reinterpret_cast<const LooseBytes*>(line + x);
      store(out + x, __builtin_convertvector(pixels, Floats) * normalization.scale[i] + normalization.shift[i]);
    }
    for (; x < count; x++) out[x] = line[x] * m.pixel_scale[x % m.channels] + m.pixel_shift[x % m.channels];
    return;
  }
  for (int c = 0; c < m.channels; c++) {
    const float* line = image.values + (Index(c) * m.height + y) * m.width;
    for (int x = 0; x < m.width; x++) out[x * m.channels + c] = line[x];
  }
}

// Copy the image into the padded input of the first convolution, normalized, and encoded for int8 or bf16.
inline void read_image(const Model& m, const Image& image, Workspace& w, const Member& member) {
  const Convolution& c = m.convolutions[0];
  const Normalization normalization(m);
  const Index line = Index(padded_width(c)) * c.channels;
  float* own_line = w.stem_values[0] + member.begin(c.in_height) * line;
  for (int y = member.begin(c.in_height); y < member.end(c.in_height); y++) {
    const Index at = (y + c.padding) * line + Index(c.padding) * c.channels;
    float* values = is_encoded(c.layer) ? own_line : w.stem_values[0] + at;
    normalize_line(m, normalization, image, y, values);
    if (is_encoded(c.layer)) encode(c.layer, values, Index(c.in_width) * c.channels, element(c.layer, w.stem_codes[0], at));
  }
}

// Where a convolution writes: inside the padding of the next one, or the tokens. `reader` is the first layer after the
// stem that is not in fp32, or nullptr.
INLINE Output convolution_output(const Model& m, int index, Workspace& w, int image, const Layer* reader) {
  Output out{nullptr, nullptr, 0, nullptr, {1, 0}, Activation::none};
  if (index + 1 == m.convolution_count) {
    const Convolution& c = m.convolutions[index];
    out.row = c.layer.outputs;
    out.values = w.stream;
    encode_for(reader, w.codes, out);
    return moved(out, Index(image) * c.out_height * c.out_width * c.layer.outputs);
  }
  const Convolution& next = m.convolutions[index + 1];
  const int side = (index + 1) % 2;
  out.row = next.channels;
  out.activation = m.stem_activation;
  if (is_encoded(next.layer)) encode_for(&next.layer, w.stem_codes[side], out);
  else out.values = w.stem_values[side];
  return moved(out, (Index(next.padding) * padded_width(next) + next.padding) * next.channels);
}

inline void convolve(const Model& m, int index, Workspace& w, const Output& out, const Member& member) {
  const Convolution& c = m.convolutions[index];
  const Index line = Index(padded_width(c)) * c.channels;
  const bool is_last = index + 1 == m.convolution_count;
  const Index out_line = out.row * (is_last ? c.out_width : padded_width(m.convolutions[index + 1]));
  for (int y = member.begin(c.out_height); y < member.end(c.out_height); y++) {
    const Index from = y * c.stride * line;
    const uint8_t* codes = is_encoded(c.layer) ? element(c.layer, w.stem_codes[index % 2], from) : nullptr;
    const Input in{w.stem_values[index % 2] + from, codes, Index(c.stride) * c.channels, line};
    apply_layer(c.layer, in, c.out_width, 0, c.layer.panels(), moved(out, y * out_line));
  }
}

// Tokens of one image of a group, encoded for the first layer after the stem that is not in fp32.
inline void run_stem(const Model& m, const Image& image, Workspace& w, int slot, const Layer* reader, const Member& member) {
  for (int index = 0; index < m.convolution_count; index++) {
    const Convolution& c = m.convolutions[index];
    uint8_t* codes = w.stem_codes[index % 2];
    switch (c.layer.precision) {
      case Precision::int8: fill_border(c, reinterpret_cast<Code*>(codes), static_cast<Code>(c.layer.input.zero), member); break;
      case Precision::bf16: fill_border(c, reinterpret_cast<uint16_t*>(codes), uint16_t(0), member); break;
      case Precision::fp32: fill_border(c, w.stem_values[index % 2], 0.f, member); break;
    }
    if (index == 0) read_image(m, image, w, member);
    member.wait();
    convolve(m, index, w, convolution_output(m, index, w, slot, reader), member);
  }
  member.wait();
}

}  // namespace levit::LEVIT_TARGET
