// What follows a matrix product, tile by tile: scale, bias, activation, residual addition, quantization.
#pragma once
#include "amx.h"
#include "products.h"

namespace levit::LEVIT_TARGET {

// Destination of a product: rows of values, rows of codes, or both.
struct Output {
  float* values;          // may be null
  uint8_t* codes;         // may be null
  long row;               // distance of rows
  const float* residual;  // rows that are added, laid out as `values`; may be null
  Quantization quantization;
  Activation activation;
};

INLINE Floats activate(Activation activation, Floats x) {
  return activation == Activation::hardswish ? hardswish(x) : activation == Activation::silu ? silu(x) : x;
}

INLINE Floats scaled(Ints sums, const float* scale, Floats bias) { return to_floats(sums) * load(scale) + bias; }
INLINE Floats scaled(Floats sums, const float*, Floats bias) { return sums + bias; }

template <Activation ACTIVATION, class S>
INLINE void finish_tile(const Layer& layer, const Output& out, const S* sums, int row, int rows, int panel, int panels) {
  const Floats inverse = splat(1 / out.quantization.step), zero = splat(out.quantization.zero);
  for (int p = 0; p < panels; p++) {
    const int column = (panel + p) * LANES;
    const Floats bias = load(layer.bias + column);
    for (int r = 0; r < rows; r++) {
      const long at = (row + r) * out.row + column;
      Floats x = activate(ACTIVATION, scaled(sums[r * panels + p], layer.scale + column, bias));
      if (ACTIVATION == Activation::none && out.residual) x += load(out.residual + at);
      if (out.values) store(out.values + at, x);
      if (out.codes) store_codes(out.codes + at, x * inverse + zero);
    }
  }
}

// Input of a layer, in the form that its precision needs.
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
