// What follows a matrix product, tile by tile: scale, bias, activation, residual addition, quantization.
#pragma once
#include "amx.h"
#include "encoding.h"
#include "products.h"

namespace levit::LEVIT_TARGET {

// Destination of a product: rows of values, and rows of what the next layer reads, codes or bf16.
struct Output {
  float* values;          // may be null
  Code* codes;            // may be null
  Index row;               // distance of rows
  const float* residual;  // rows that are added, laid out as `values`; may be null
  Quantization quantization;
  Activation activation;
  uint16_t* bf16 = nullptr;
};

INLINE Floats activate(Activation activation, Floats x) {
  switch (activation) {
    case Activation::hardswish: return hardswish(x);
    case Activation::silu: return silu(x);
    case Activation::gelu: return gelu(x);
    case Activation::gelu_tanh: return gelu_tanh(x);
    case Activation::none: break;
  }
  return x;
}

INLINE Floats scaled(Ints sums, Floats scale, Floats bias) { return to_floats(sums) * scale + bias; }
INLINE Floats scaled(Floats sums, Floats scale, Floats bias) { return sums * scale + bias; }

// Scale of a layer's sums, which are scaled already if they are floats.
INLINE Floats sums_scale(const Layer& layer, int column, const Ints*) { return load(layer.scale + column); }
INLINE Floats sums_scale(const Layer&, int, const Floats*) { return splat(1.f); }

// finish(values, position) for each row of a tile: PANELS vectors of (sum * scale + bias) * factor + offset.
template <int PANELS, class S, class F>
INLINE void for_rows(const Layer& layer, float factor, float offset, Index out_row, const S* sums, int row, int rows, int panel, const F& finish) {
  Floats scale[PANELS], bias[PANELS];
  UNROLL for (int p = 0; p < PANELS; p++) {
    const int column = (panel + p) * LANES;
    scale[p] = sums_scale(layer, column, sums) * splat(factor);
    bias[p] = load(layer.bias + column) * splat(factor) + splat(offset);
  }
  Index at = row * out_row + Index(panel) * LANES;
  for (int r = 0; r < rows; r++, at += out_row, sums += PANELS) {
    Floats values[PANELS];
    UNROLL for (int p = 0; p < PANELS; p++) values[p] = scaled(sums[p], scale[p], bias[p]);
    finish(values, at);
  }
}

// Activation that is not known where the code is compiled, because choosing it takes less time than computing it.
constexpr Activation ANY = static_cast<Activation>(-1);

// Codes of the activation of values that are in units of the step already, without the zero point.
INLINE Floats activate_scaled(Activation activation, Floats x, Floats step, Floats sixth, Floats inverse, Floats zero) {
  if (activation == Activation::none) return x;
  if (activation == Activation::hardswish) return x * min(max(x * sixth + splat(.5f), splat(0.f)), splat(1.f)) + zero;
  return activate(activation, x * step) * inverse + zero;
}

template <int VECTORS>
INLINE void store_bf16(uint16_t* p, const Floats (&values)[VECTORS]) {
  UNROLL for (int i = 0; i < VECTORS; i++) store_bf16(p + i * LANES, values[i]);
}

template <Activation ACTIVATION, int PANELS, class S>
INLINE void finish_panels(const Layer& layer, const Output& out, const S* sums, int row, int rows, int panel) {
  const Activation activation = ACTIVATION == ANY ? out.activation : ACTIVATION;
  const float step = out.quantization.step;
  const Floats steps = splat(step), sixth = splat(step / 6), inverse = splat(1 / step), zero = splat(out.quantization.zero);
  float* const values = out.values;
  Code* const codes = out.codes;
  uint16_t* const bf16 = out.bf16;
  const float* const residual = out.residual;
  const auto finish = [&](float factor, float offset, const auto& store_row) __attribute__((always_inline)) {
    for_rows<PANELS>(layer, factor, offset, out.row, sums, row, rows, panel, store_row);
  };
  if (codes && !values) {
    finish(1 / step, activation == Activation::none ? out.quantization.zero : 0.f, [=](Floats(&x)[PANELS], Index at) __attribute__((always_inline)) {
      UNROLL for (int p = 0; p < PANELS; p++) x[p] = activate_scaled(activation, x[p], steps, sixth, inverse, zero);
      store_codes(codes + at, x);
    });
  } else if (bf16 && !values) {
    finish(1, 0, [=](Floats(&x)[PANELS], Index at) __attribute__((always_inline)) {
      UNROLL for (int p = 0; p < PANELS; p++) x[p] = activate(activation, x[p]);
      store_bf16(bf16 + at, x);
    });
  } else {
    finish(1, 0, [=](Floats(&x)[PANELS], Index at) __attribute__((always_inline)) {
      UNROLL for (int p = 0; p < PANELS; p++) {
        x[p] = activate(activation, x[p]);
        if (residual) x[p] += load(residual + at + p * LANES);
        store(values + at + p * LANES, x[p]);
      }
      if (bf16) store_bf16(bf16 + at, x);
      if (!codes) return;
      UNROLL for (int p = 0; p < PANELS; p++) x[p] = x[p] * inverse + zero;
      store_codes(codes + at, x);
    });
  }
}

template <Activation ACTIVATION, class S>
INLINE void finish_tile(const Layer& layer, const Output& out, const S* sums, int row, int rows, int panel, int panels) {
  if (panels == 4) finish_panels<ACTIVATION, 4>(layer, out, sums, row, rows, panel);
  else if (panels == 2) finish_panels<ACTIVATION, 2>(layer, out, sums, row, rows, panel);
  else finish_panels<ACTIVATION, 1>(layer, out, sums, row, rows, panel);
}

// Let a product write what its reader reads, if that is not nullptr and not in fp32.
INLINE void encode_for(const Layer* reader, uint8_t* codes, Output& out) {
  if (reader == nullptr) return;
  if (reader->precision == Precision::int8) out.codes = reinterpret_cast<Code*>(codes), out.quantization = reader->input;
  if (reader->precision == Precision::bf16) out.bf16 = reinterpret_cast<uint16_t*>(codes);
}

// Move a destination by a number of elements.
INLINE Output moved(Output out, Index index) {
  if (out.values) out.values += index;
  if (out.codes) out.codes += index;
  if (out.bf16) out.bf16 += index;
  return out;
}

// One vector of a head's context, for the projection.
INLINE void store_context(const Output& out, Index at, Floats x) {
  if (out.codes) store_codes(out.codes + at, x * splat(1 / out.quantization.step) + splat(out.quantization.zero));
  else if (out.bf16) store_bf16(out.bf16 + at, x);
  else store(out.values + at, x);
}

// Input of a layer: values, or in int8 and bf16 codes. Distances are numbers of elements.
struct Input {
  const float* values;
  const uint8_t* codes;
  Index row, segment;
};

template <Activation ACTIVATION>
INLINE void apply(const Layer& layer, const Input& in, int rows, int first, int last, const Output& out) {
  const auto finish = [&](const auto* sums, int row, int height, int panel, int panels) __attribute__((always_inline)) {
    finish_tile<ACTIVATION>(layer, out, sums, row, height, panel, panels);
  };
  if (layer.precision == Precision::int8) {
    const Rows<Code> a{reinterpret_cast<const Code*>(in.codes), in.row, in.segment, layer.segments, (layer.inputs + 3) / 4};
    const Panels<int8_t> b{static_cast<const int8_t*>(layer.weights), 16 * layer.depth, 64};
    if (!product_in_tiles(a, rows, b, first, last, finish)) product(a, rows, b, first, last, finish);
  } else if (layer.precision == Precision::bf16) {
    const Rows<uint16_t> a{reinterpret_cast<const uint16_t*>(in.codes), in.row, in.segment, layer.segments, (layer.inputs + 1) / 2};
    const Panels<uint16_t> b{static_cast<const uint16_t*>(layer.weights), 16 * layer.depth, 32};
    if (!product_in_tiles(a, rows, b, first, last, finish)) product(a, rows, b, first, last, finish);
  } else {
    const Rows<float> a{in.values, in.row, in.segment, layer.segments, layer.inputs};
    const Panels<float> b{static_cast<const float*>(layer.weights), 16 * layer.depth, 16};
    product(a, rows, b, first, last, finish);
  }
}

// The layer's outputs of the panels [first, last), for `rows` rows.
inline void apply_layer(const Layer& layer, const Input& in, int rows, int first, int last, const Output& out) {
  switch (out.activation) {
    case Activation::none: return apply<Activation::none>(layer, in, rows, first, last, out);
    case Activation::hardswish: return apply<Activation::hardswish>(layer, in, rows, first, last, out);
    default: return apply<ANY>(layer, in, rows, first, last, out);
  }
}

}  // namespace levit::LEVIT_TARGET
