// What follows a matrix product, tile by tile: scale, bias, activation, residual addition, quantization.
#pragma once
#include "amx.h"
#include "products.h"

namespace levit::LEVIT_TARGET {

// Destination of a product: rows of values, and rows of what the next layer reads, codes or bf16.
struct Output {
  float* values;          // may be null
  uint8_t* codes;         // may be null
  long row;               // distance of rows
  const float* residual;  // rows that are added, laid out as `values`; may be null
  Quantization quantization;
  Activation activation;
  uint16_t* halves = nullptr;  // bf16
};

INLINE Floats activate(Activation activation, Floats x) {
  return activation == Activation::hardswish ? hardswish(x) : activation == Activation::silu ? silu(x) : x;
}

INLINE Floats scaled(Ints sums, const float* scale, Floats bias) { return to_floats(sums) * load(scale) + bias; }
INLINE Floats scaled(Floats sums, const float*, Floats bias) { return sums + bias; }

// store(value, position) for the outputs of a tile, without the residual.
template <Activation ACTIVATION, class S, class F>
INLINE void for_outputs(const Layer& layer, long out_row, const S* sums, int row, int rows, int panel, int panels, const F& store_output) {
  for (int p = 0; p < panels; p++) {
    const int column = (panel + p) * LANES;
    const float* scale = layer.scale + column;
    const Floats bias = load(layer.bias + column);
    const S* from = sums + p;
    long at = row * out_row + column;
    for (int r = 0; r < rows; r++, at += out_row, from += panels)
      store_output(activate(ACTIVATION, scaled(*from, scale, bias)), at);
  }
}

template <Activation ACTIVATION, class S>
INLINE void finish_tile(const Layer& layer, const Output& out, const S* sums, int row, int rows, int panel, int panels) {
  const Floats inverse = splat(1 / out.quantization.step), zero = splat(out.quantization.zero);
  float* const values = out.values;
  uint8_t* const codes = out.codes;
  uint16_t* const halves = out.halves;
  const float* const residual = out.residual;
  const auto finish = [&](const auto& store_output) __attribute__((always_inline)) {
    for_outputs<ACTIVATION>(layer, out.row, sums, row, rows, panel, panels, store_output);
  };
  const auto finish_with = [&](const auto& encode) __attribute__((always_inline)) {  // what the next layer reads
    if (ACTIVATION == Activation::none && residual) {
      finish([=](Floats x, long at) __attribute__((always_inline)) {
        x += load(residual + at);
        store(values + at, x);
        encode(x, at);
      });
    } else if (ACTIVATION == Activation::none && values) {
      finish([=](Floats x, long at) __attribute__((always_inline)) {
        store(values + at, x);
        encode(x, at);
      });
    } else {
      finish(encode);
    }
  };
  if (codes) finish_with([=](Floats x, long at) __attribute__((always_inline)) { store_codes(codes + at, x * inverse + zero); });
  else if (halves) finish_with([=](Floats x, long at) __attribute__((always_inline)) { store_bf16(halves + at, x); });
  else if (ACTIVATION == Activation::none && residual) finish_with([](Floats, long) __attribute__((always_inline)) {});
  else finish([=](Floats x, long at) __attribute__((always_inline)) { store(values + at, x); });
}

// Where a layer in int8 or bf16 reads: elements of one byte or two.
INLINE uint8_t* element(const Layer& reader, uint8_t* codes, long index) {
  return codes + index * (reader.precision == Precision::bf16 ? 2 : 1);
}

// Let a product write what its reader reads, if that is not nullptr and not in fp32.
INLINE void encode_for(const Layer* reader, uint8_t* codes, Output& out) {
  if (reader == nullptr) return;
  if (reader->precision == Precision::int8) out.codes = codes, out.quantization = reader->input;
  if (reader->precision == Precision::bf16) out.halves = reinterpret_cast<uint16_t*>(codes);
}

// Move a destination by a number of elements.
INLINE Output moved(Output out, long index) {
  if (out.values) out.values += index;
  if (out.codes) out.codes += index;
  if (out.halves) out.halves += index;
  return out;
}

// One vector of a head's context, for the projection.
INLINE void store_context(const Output& out, long at, Floats x) {
  if (out.codes) store_codes(out.codes + at, x * splat(1 / out.quantization.step) + splat(out.quantization.zero));
  else if (out.halves) store_bf16(out.halves + at, x);
  else store(out.values + at, x);
}

// Input of a layer: values, or in int8 and bf16 codes. Distances are numbers of elements.
struct Input {
  const float* values;
  const uint8_t* codes;
  long row, segment;
};

template <Activation ACTIVATION>
INLINE void apply(const Layer& layer, const Input& in, int rows, int first, int last, const Output& out) {
  const auto finish = [&](const auto* sums, int row, int height, int panel, int panels) __attribute__((always_inline)) {
    finish_tile<ACTIVATION>(layer, out, sums, row, height, panel, panels);
  };
  if (layer.precision == Precision::int8) {
    const Rows<uint8_t> a{in.codes, in.row, in.segment, layer.segments, (layer.inputs + 3) / 4};
    const Panels<int8_t> b{static_cast<const int8_t*>(layer.weights), 16l * layer.depth, 64};
    if (!product_in_tiles(a, rows, b, first, last, finish)) product(a, rows, b, first, last, finish);
  } else if (layer.precision == Precision::bf16) {
    const Rows<uint16_t> a{reinterpret_cast<const uint16_t*>(in.codes), in.row, in.segment, layer.segments, (layer.inputs + 1) / 2};
    const Panels<uint16_t> b{static_cast<const uint16_t*>(layer.weights), 16l * layer.depth, 32};
    if (!product_in_tiles(a, rows, b, first, last, finish)) product(a, rows, b, first, last, finish);
  } else {
    const Rows<float> a{in.values, in.row, in.segment, layer.segments, layer.inputs};
    const Panels<float> b{static_cast<const float*>(layer.weights), 16l * layer.depth, 16};
    product(a, rows, b, first, last, finish);
  }
}

// The layer's outputs of the panels [first, last), for `rows` rows.
inline void apply_layer(const Layer& layer, const Input& in, int rows, int first, int last, const Output& out) {
  switch (out.activation) {
    case Activation::none: return apply<Activation::none>(layer, in, rows, first, last, out);
    case Activation::hardswish: return apply<Activation::hardswish>(layer, in, rows, first, last, out);
    case Activation::silu: return apply<Activation::silu>(layer, in, rows, first, last, out);
  }
}

}  // namespace levit::LEVIT_TARGET
