// What a layer in int8 or bf16 reads: codes or bf16, made from values in fp32.
#pragma once
#include "model.h"
#include "vectors.h"

namespace levit::LEVIT_TARGET {

INLINE bool is_encoded(const Layer& layer) { return layer.precision != Precision::fp32; }

// Bytes of one element of what a layer reads.
INLINE Index encoded_bytes(Precision precision) {
  return precision == Precision::int8 ? sizeof(Code) : precision == Precision::bf16 ? 2 : 4;
}

// Where a layer in int8 or bf16 reads.
INLINE uint8_t* element(const Layer& reader, uint8_t* codes, Index index) {
  return codes + index * encoded_bytes(reader.precision);
}

// Encode values for a layer in int8 or bf16.
INLINE void encode(const Layer& reader, const float* values, Index count, uint8_t* codes) {
  if (reader.precision == Precision::bf16) {
    uint16_t* bf16 = reinterpret_cast<uint16_t*>(codes);
    Index i = 0;
    for (; i + LANES <= count; i += LANES) store_bf16(bf16 + i, load(values + i));
    for (uint16_t last[LANES]; i < count; i++) {
      store_bf16(last, splat(values[i]));
      bf16[i] = last[0];
    }
    return;
  }
  const Quantization& quantization = reader.input;
  const Floats inverse = splat(1 / quantization.step), zero = splat(quantization.zero);
  Code* out = reinterpret_cast<Code*>(codes);
  Index i = 0;
  for (; i + LANES <= count; i += LANES) store_codes(out + i, load(values + i) * inverse + zero);
  for (Code last[LANES]; i < count; i++) {
    store_codes(last, splat(values[i]) * inverse + zero);
    out[i] = last[0];
  }
}

}  // namespace levit::LEVIT_TARGET
