// Attention of one image and head in the matrix registers of AMX: products in bf16, softmax in fp32.
#pragma once
#include "amx.h"
#include "attention.h"

namespace levit::LEVIT_TARGET {

// One head of one image: rows of queries, keys and values in bf16.
struct Bf16Head {
  const Attention* attention;
  int index;
  const uint16_t *query, *key, *value;
  Index query_row, key_row, value_row;
  int keys, key_dim, value_dim;
  int padded() const { return (keys + 15) / 16 * 16; }
  int padded_pairs() const { return (keys + 31) / 32 * 32; }
};

#if defined(__AMX_BF16__)

// Add the products of the register `a` with a panel at `from`, which is loaded into `b`. Registers are constants.
#define MULTIPLY_PANEL(sums, a, b, from) \
  {                                      \
    _tile_loadd(b, from, 64);            \
    _tile_dpbf16ps(sums, a, b);          \
  }

// 16 keys of 16 channels -> [8 pairs of channels][16 keys][2].
INLINE void transpose_pairs_bf16(const uint16_t* keys, Index row, uint16_t* out) {
  __m512i r[8], t[8];
  const auto half = [&](int i) __attribute__((always_inline)) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(keys + i * row)); };
  UNROLL for (int i = 0; i < 8; i++) r[i] = _mm512_inserti64x4(_mm512_castsi256_si512(half(i)), half(i + 8), 1);
  UNROLL for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  UNROLL for (int i = 0; i < 2; i++) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13), high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
  UNROLL for (int i = 0; i < 4; i++) {
    _mm512_storeu_si512(out + i * 32, _mm512_permutex2var_epi64(r[i], low, r[4 + i]));
    _mm512_storeu_si512(out + (4 + i) * 32, _mm512_permutex2var_epi64(r[i], high, r[4 + i]));
  }
}

// Keys as panels of 16, zero beyond the last key.
inline void pack_keys_bf16(const Bf16Head& head, uint16_t* out) {
  uint16_t last[16 * 16];
  for (int first = 0; first < head.padded(); first += 16)
    for (int d = 0; d < head.key_dim; d += 16, out += 16 * 16) {
      const uint16_t* from = head.key + first * head.key_row + d;
      const int count = head.keys - first;
      if (count >= 16) {
        transpose_pairs_bf16(from, head.key_row, out);
        continue;
      }
      memset(last, 0, sizeof(last));
      for (int i = 0; i < count; i++) memcpy(last + i * 16, from + i * head.key_row, 32);
      transpose_pairs_bf16(last, 16, out);
    }
}

// Values as panels of 16 channels: [pairs of keys][16 channels][2], zero beyond the last key.
inline void pack_values_bf16(const Bf16Head& head, uint16_t* out) {
  alignas(64) uint16_t order[32];
  for (int i = 0; i < 32; i++) order[i] = static_cast<uint16_t>((i & 1) * 16 + i / 2);
  const __m512i interleave = _mm512_load_si512(order);
  for (int d = 0; d < head.value_dim; d += 16)
    for (int k = 0; k < head.padded_pairs(); k += 2, out += 32) {
      const auto row = [&](int key) __attribute__((always_inline)) {
        const __m256i* from = reinterpret_cast<const __m256i*>(head.value + key * head.value_row + d);
        return key < head.keys ? _mm256_loadu_si256(from) : _mm256_setzero_si256();
      };
      const __m512i both = _mm512_inserti64x4(_mm512_castsi256_si512(row(k)), row(k + 1), 1);
      _mm512_storeu_si512(out, _mm512_permutexvar_epi16(interleave, both));
    }
}

// Add the bias to the scores of a query, and return the largest.
INLINE float add_bias(float* scores, const float* bias, int padded) {
  Floats most = splat(-1e38f);
  for (int k = 0; k < padded; k += LANES) {
    const Floats x = load(scores + k) + load(bias + k);
    most = max(most, x);
    store(scores + k, x);
  }
  return largest(most);
}

// Powers of two of scores in bf16, relative to that of the largest score, and the inverse of their sum.
INLINE float powers_bf16(const float* scores, float most, int padded, uint16_t* powers) {
  const Floats offset = splat(most);
  Floats total = splat(0.f);
  for (int k = 0; k < padded; k += LANES) {
    const Floats power = rough_exp2(load(scores + k) - offset);
    total += power;
    store_bf16(powers + k, power);
  }
  return 1 / sum(total);
}

// Registers 4 and 6: queries and keys; 5 and 7: powers and values; 0 to 3: sums.
INLINE void configure_attention(int key_steps) {
  TileConfiguration c;
  for (int i = 0; i < 8; i++) c.row_bytes[i] = 64, c.rows[i] = 16;
  c.row_bytes[4] = static_cast<uint16_t>(4 * key_steps);
  c.rows[6] = static_cast<uint8_t>(key_steps);
  _tile_loadconfig(&c);
}

// Scores of 16 queries: float [16][padded keys].
INLINE void score_tiles(const Bf16Head& head, const uint16_t* query, const uint16_t* keys, int steps, float* scores) {
  const int panels = head.padded() / 16, pairs = head.key_dim / 2;
  const Index panel = 32 * pairs, row = 4 * head.padded();
  finish_memory_accesses();
  for (int p = 0; p < panels; p += 4, keys += 4 * panel, scores += 64) {
    const int count = panels - p < 4 ? panels - p : 4;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int k = 0; k < pairs; k += steps) {
      _tile_loadd(4, query + 2 * k, 2 * head.query_row);
      const uint16_t* from = keys + 32 * k;
      MULTIPLY_PANEL(0, 4, 6, from)
      if (count > 1) MULTIPLY_PANEL(1, 4, 6, from + panel)
      if (count > 2) MULTIPLY_PANEL(2, 4, 6, from + 2 * panel)
      if (count > 3) MULTIPLY_PANEL(3, 4, 6, from + 3 * panel)
    }
    _tile_stored(0, scores, row);
    if (count > 1) _tile_stored(1, scores + 16, row);
    if (count > 2) _tile_stored(2, scores + 32, row);
    if (count > 3) _tile_stored(3, scores + 48, row);
  }
  finish_memory_accesses();
}

// Sums of 16 queries and up to four panels of values, [16][64].
INLINE void context_tiles(const Bf16Head& head, const uint16_t* powers, const uint16_t* values, int count, float* sums) {
  const int pairs = head.padded_pairs() / 2;
  const Index panel = 32 * pairs;
  finish_memory_accesses();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int k = 0; k < pairs; k += 16) {
    _tile_loadd(5, powers + 2 * k, 2 * head.padded_pairs());
    const uint16_t* from = values + 32 * k;
    MULTIPLY_PANEL(0, 5, 7, from)
    if (count > 1) MULTIPLY_PANEL(1, 5, 7, from + panel)
    if (count > 2) MULTIPLY_PANEL(2, 5, 7, from + 2 * panel)
    if (count > 3) MULTIPLY_PANEL(3, 5, 7, from + 3 * panel)
  }
  _tile_stored(0, sums, 256);
  if (count > 1) _tile_stored(1, sums + 16, 256);
  if (count > 2) _tile_stored(2, sums + 32, 256);
  if (count > 3) _tile_stored(3, sums + 48, 256);
  finish_memory_accesses();
}

// Context of the queries [first, last) of a head, after the activation.
inline void attend_bf16(const Bf16Head& head, int first, int last, Scratch& scratch, const Output& out) {
  uint16_t *keys = scratch.keys_16_bit, *values = scratch.values_16_bit, *powers = scratch.powers;
  pack_keys_bf16(head, keys);
  pack_values_bf16(head, values);
  const int steps = steps_of_tile(head.key_dim / 2), padded = head.padded(), pairs = head.padded_pairs();
  configure_attention(steps);
  if (pairs > padded)
    for (int i = 0; i < 16; i++) memset(powers + Index(i) * pairs + padded, 0, 2 * (pairs - padded));
  alignas(64) float sums[16 * 64];
  float inverse[16];
  for (int query = first; query < last; query += 16) {
    const int count = last - query < 16 ? last - query : 16;
    expand_bias(*head.attention, head.index, query, count, scratch.bias);
    score_tiles(head, head.query + query * head.query_row, keys, steps, scratch.scores);
    float most[16];
    for (int i = 0; i < count; i++) most[i] = add_bias(scratch.scores + Index(i) * padded, scratch.bias + Index(i) * padded, padded);
    for (int i = 0; i < count; i++)
      inverse[i] = powers_bf16(scratch.scores + Index(i) * padded, most[i], padded, powers + Index(i) * pairs);
    for (int d = 0; d < head.value_dim; d += 64) {
      const int panels = head.value_dim - d < 64 ? (head.value_dim - d) / 16 : 4;
      context_tiles(head, powers, values + Index(d) * pairs, panels, sums);
      for (int i = 0; i < count; i++)
        for (int p = 0; p < panels; p++) {
          const Floats x = activate(out.activation, load(sums + i * 64 + p * 16) * splat(inverse[i]));
          store_context(out, Index(query + i) * out.row + d + p * 16, x);
        }
    }
  }
}

#else

inline void attend_bf16(const Bf16Head&, int, int, Scratch&, const Output&) {}

#endif

}  // namespace levit::LEVIT_TARGET
