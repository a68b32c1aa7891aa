// Attention of one image and head in 16-bit integers, whose sums are exact: each matrix is scaled by its largest value.
#pragma once
#include "attention.h"

namespace levit::LEVIT_TARGET {

// The portable instructions compute what those of x86 compute.
#if defined(__ARM_FEATURE_DOTPROD)
constexpr bool INT16_IS_FASTER = false;
#else
constexpr bool INT16_IS_FASTER = true;
#endif

constexpr int POWER_BITS = 12;    // the power of two of the largest score is 2^12
constexpr int MAX_INT16_KEYS = 1024;  // more would leave too few bits for the values

inline float largest_magnitude(const float* rows, Index row, int count, int width) {
  Floats most = splat(1e-30f);
  for (int i = 0; i < count; i++)
    for (int d = 0; d < width; d += LANES) most = max(most, absolute(load(rows + i * row + d)));
  return largest(most);
}

// Largest numbers of queries and keys whose products over all channels have sums within 32 bits.
inline float product_limit(int key_dim) {
  float limit = 16383;
  while (limit * limit * static_cast<float>(key_dim) > 2147483500.f) limit = (limit - 1) / 2;
  return limit;
}

// Largest number of values, whose sums are weighted with powers of two.
inline float value_limit(int keys) {
  const int limit = 0x7fffffff / (((keys + 1) << POWER_BITS));
  return static_cast<float>(limit < 16383 ? limit : 16383);
}

// Whether powers of two are stored in the order that is cheapest: of 32 keys, groups of four from each half in turn.
#if defined(__AVX512BW__)
constexpr bool ALTERNATES = true;
#else
constexpr bool ALTERNATES = false;
#endif

// First of the two neighboring keys of the n-th pair of powers.
INLINE int key_of_pair(int pair, int keys) {
  const int block = pair / 16 * 32, i = pair % 16;
  if (!ALTERNATES || block + 32 > keys) return 2 * pair;
  return block + (i % 4 / 2) * 16 + i / 4 * 4 + i % 2 * 2;
}

// Powers of two of 32 keys.
INLINE void store_powers(int16_t* p, Ints low, Ints high, bool is_complete) {
#if defined(__AVX512BW__)
  if (is_complete) {
    _mm512_storeu_si512(p, _mm512_packs_epi32((__m512i)low, (__m512i)high));
    return;
  }
#endif
  (void)is_complete;
  store_shorts(p, low);
  store_shorts(p + LANES, high);
}

// Powers of two of the scores of a query, relative to the largest, and their sum.
INLINE float powers_of_scores(const float* scores, float most, int keys, int padded, int16_t* powers) {
  const Floats offset = splat(most - POWER_BITS);
  const auto power = [&](int k) __attribute__((always_inline)) {
    return k < padded ? rounded(rough_exp2(load(scores + k) - offset)) : splat(0);
  };
  Ints total = splat(0);
  int k = 0;
  for (; k + 2 * LANES <= keys; k += 2 * LANES) {
    const Ints low = power(k), high = power(k + LANES);
    total += low + high;
    store_powers(powers + k, low, high, true);
  }
  if (k < padded) {
    const Ints low = power(k), high = power(k + LANES);
    total += low + high;
    store_powers(powers + k, low, high, false);
  }
  return sum(to_floats(total));
}

#if defined(__AVX512BW__)

// 16 keys of 16 channels -> [8 pairs of channels][16 keys][2].
INLINE void transpose_pairs_int16(const float* keys, Index row, Floats scale, int16_t* out) {
  __m512i r[8], t[8], x[8];
  const auto key = [&](int i) __attribute__((always_inline)) { return (__m512i)rounded(load(keys + i * row) * scale); };
  // Quarters of the vectors: two pairs of channels of key i, and the same of key i + 8.
  UNROLL for (int i = 0; i < 8; i++) r[i] = _mm512_packs_epi32(key(i), key(i + 8));
  UNROLL for (int i = 0; i < 4; i++) {
    t[i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[4 + i] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  UNROLL for (int i = 0; i < 4; i++) {  // quarters: one pair of channels of four keys, even pairs first
    x[i] = _mm512_unpacklo_epi64(t[2 * i], t[2 * i + 1]);
    x[4 + i] = _mm512_unpackhi_epi64(t[2 * i], t[2 * i + 1]);
  }
  UNROLL for (int odd = 0; odd < 2; odd++) {
    const __m512i* y = x + 4 * odd;
    const __m512i low01 = _mm512_shuffle_i32x4(y[0], y[1], 0x44), high01 = _mm512_shuffle_i32x4(y[0], y[1], 0xee);
    const __m512i low23 = _mm512_shuffle_i32x4(y[2], y[3], 0x44), high23 = _mm512_shuffle_i32x4(y[2], y[3], 0xee);
    _mm512_storeu_si512(out + (0 + odd) * 32, _mm512_shuffle_i32x4(low01, low23, 0x88));
    _mm512_storeu_si512(out + (2 + odd) * 32, _mm512_shuffle_i32x4(low01, low23, 0xdd));
    _mm512_storeu_si512(out + (4 + odd) * 32, _mm512_shuffle_i32x4(high01, high23, 0x88));
    _mm512_storeu_si512(out + (6 + odd) * 32, _mm512_shuffle_i32x4(high01, high23, 0xdd));
  }
}

#else

INLINE void transpose_pairs_int16(const float* keys, Index row, Floats scale, int16_t* out) {
  for (int i = 0; i < LANES; i++) {
    const Ints key = rounded(load(keys + i * row) * scale);
    for (int d = 0; d < LANES; d++) out[(d / 2 * LANES + i) * 2 + d % 2] = static_cast<int16_t>(key[d]);
  }
}

#endif

// Keys as panels of 16: [keys / 16][pairs of channels][16][2], zero beyond the last key.
inline void pack_keys_int16(const Head& head, float scale, int16_t* out) {
  alignas(64) float last[LANES * LANES];
  for (int first = 0; first < head.padded_keys; first += LANES)
    for (int d = 0; d < head.key_dim; d += LANES, out += LANES * LANES) {
      const float* from = head.key + first * head.key_row + d;
      const int count = head.keys - first;
      if (count >= LANES) {
        transpose_pairs_int16(from, head.key_row, splat(scale), out);
        continue;
      }
      memset(last, 0, sizeof(last));
      for (int i = 0; i < count; i++) store(last + i * LANES, load(from + i * head.key_row));
      transpose_pairs_int16(last, LANES, splat(scale), out);
    }
}

// Values as panels of 16 channels: [pairs of keys][16 channels][2].
inline void pack_values_int16(const Head& head, float scale, int pairs, int16_t* out) {
  const Floats scales = splat(scale);
  for (int d = 0; d < head.value_dim; d += LANES)
    for (int pair = 0; pair < pairs; pair++, out += 2 * LANES) {
      const int key = key_of_pair(pair, head.keys);
      const float* from = head.value + key * head.value_row + d;
      const Ints low = rounded(load(from) * scales);
      const Ints high = key + 1 < head.keys ? rounded(load(from + head.value_row) * scales) : splat(0);
      store(reinterpret_cast<int32_t*>(out), (low & splat(0xffff)) | (high << 16));
    }
}

inline void pack_queries(const float* query, Index row, int count, int key_dim, float scale, int16_t* out) {
  for (int i = 0; i < count; i++)
    for (int d = 0; d < key_dim; d += LANES)
      store_shorts(out + i * key_dim + d, rounded(load(query + i * row + d) * splat(scale)));
}

// Context of the queries [first, last) of a head, after the activation.
inline void attend_int16(const Head& head, int first, int last, Scratch& scratch, const Output& out) {
  int16_t* keys = reinterpret_cast<int16_t*>(scratch.keys_16_bit);
  int16_t* values = reinterpret_cast<int16_t*>(scratch.values_16_bit);
  int16_t* powers = reinterpret_cast<int16_t*>(scratch.powers);
  int16_t* queries = reinterpret_cast<int16_t*>(scratch.queries_16_bit);
  float *scores = scratch.scores, *bias = scratch.bias;
  const int padded = head.padded_keys, pairs = (head.keys + 1) / 2;
  const Index powers_row = (padded + 2 * LANES - 1) / (2 * LANES) * (2 * LANES);
  const float limit = product_limit(head.key_dim);
  // Of all queries, not only of this part, so that the logits do not depend on the number of threads.
  const float query_scale = limit / largest_magnitude(head.query, head.query_row, head.attention->queries(), head.key_dim);
  const float key_scale = limit / largest_magnitude(head.key, head.key_row, head.keys, head.key_dim);
  const float value_scale = value_limit(head.keys) / largest_magnitude(head.value, head.value_row, head.keys, head.value_dim);
  pack_keys_int16(head, key_scale, keys);
  pack_values_int16(head, value_scale, pairs, values);
  const Floats score_scale = splat(1 / query_scale / key_scale);
  const Panels<int16_t> key_panels{keys, Index(head.key_dim) * LANES, 2 * LANES};
  const Panels<int16_t> value_panels{values, 2 * LANES * pairs, 2 * LANES};
  for (int query = first; query < last;) {
    const int count = last - query < MAX_QUERIES ? last - query : MAX_QUERIES;
    pack_queries(head.query + query * head.query_row, head.query_row, count, head.key_dim, query_scale, queries);
    expand_bias(*head.attention, head.index, query, count, bias);
    product(Rows<int16_t>{queries, head.key_dim, 0, 1, head.key_dim / 2}, count, key_panels, 0, padded / LANES,
            [&](const Ints* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++)
                UNROLL for (int p = 0; p < panels; p++) {
                  const Index at = Index(row + r) * padded + Index(panel + p) * LANES;
                  store(scores + at, to_floats(sums[r * panels + p]) * score_scale + load(bias + at));
                }
            });
    float most[MAX_QUERIES], factors[MAX_QUERIES] = {};
    static_assert(MAX_QUERIES == LANES);
    for (int i = 0; i < count; i++) most[i] = largest_score(scores + Index(i) * padded, padded);
    for (int i = 0; i < count; i++)
      factors[i] = powers_of_scores(scores + Index(i) * padded, most[i], head.keys, padded, powers + i * powers_row);
    store(factors, splat(1 / value_scale) / load(factors));
    product(Rows<int16_t>{powers, powers_row, 0, 1, pairs}, count, value_panels, 0, head.value_dim / LANES,
            [&](const Ints* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++) {
                const Floats factor = splat(factors[row + r]);
                const Index at = Index(query + row + r) * out.row + Index(panel) * LANES;
                UNROLL for (int p = 0; p < panels; p++)
                  store_context(out, at + p * LANES, activate(out.activation, to_floats(sums[r * panels + p]) * factor));
              }
            });
    query += count;
  }
}

}  // namespace levit::LEVIT_TARGET
