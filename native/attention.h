// Attention of one image and head: softmax(queries keys^T + bias) values, a few queries at a time.
#pragma once
#include "epilogues.h"
#include "workspace.h"

namespace levit::LEVIT_TARGET {

// One head of one image: rows of queries, keys and values.
struct Head {
  const float *query, *key, *value, *bias;
  long query_row, key_row, value_row;
  int keys, padded_keys, key_dim, value_dim;
};

// Keys as panels of 16: [keys / 16][key_dim][16], zero beyond the last key.
inline void transpose_keys(const Head& head, float* out) {
  for (int first = 0; first < head.padded_keys; first += LANES, out += long(head.key_dim) * LANES) {
    const int count = head.keys - first < LANES ? head.keys - first : LANES;
    for (int j = 0; j < count; j++) {
      const float* key = head.key + (first + j) * head.key_row;
      for (int d = 0; d < head.key_dim; d++) out[d * LANES + j] = key[d];
    }
    for (int j = count; j < LANES; j++)
      for (int d = 0; d < head.key_dim; d++) out[d * LANES + j] = 0;
  }
}

// Replace the scores of a query by powers of two relative to the largest, and return the inverse of their sum.
INLINE float softmax(float* scores, int padded_keys) {
  Floats most = load(scores);
  for (int k = LANES; k < padded_keys; k += LANES) most = max(most, load(scores + k));
  const Floats offset = splat(largest(most));
  Floats total = splat(0.f);
  for (int k = 0; k < padded_keys; k += LANES) {
    const Floats power = exp2(load(scores + k) - offset);
    store(scores + k, power);
    total += power;
  }
  return 1 / sum(total);
}

// Context of the queries [first, last) of a head, after the activation.
inline void attend(const Head& head, const float* transposed_keys, int first, int last, float* scores, const Output& out) {
  const Panels<float> keys{transposed_keys, long(head.key_dim) * LANES, LANES};
  const Panels<float> values{head.value, LANES, head.value_row};
  for (int query = first; query < last;) {
    const int count = last - query < MAX_QUERIES ? last - query : MAX_QUERIES;
    const Rows<float> a{head.query + query * head.query_row, head.query_row, 0, 1, head.key_dim};
    product(a, count, keys, 0, head.padded_keys / LANES,
            [&](const Floats* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++)
                for (int p = 0; p < panels; p++) {
                  const long at = long(panel + p) * LANES;
                  const float* bias = head.bias + long(query + row + r) * head.padded_keys + at;
                  store(scores + long(row + r) * head.padded_keys + at, sums[r * panels + p] + load(bias));
                }
            });
    float inverse[MAX_QUERIES];
    for (int i = 0; i < count; i++) inverse[i] = softmax(scores + long(i) * head.padded_keys, head.padded_keys);
    const Rows<float> powers{scores, head.padded_keys, 0, 1, head.keys};
    product(powers, count, values, 0, head.value_dim / LANES,
            [&](const Floats* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++)
                for (int p = 0; p < panels; p++) {
                  const long at = long(query + row + r) * out.row + long(panel + p) * LANES;
                  store_context(out, at, activate(out.activation, sums[r * panels + p] * splat(inverse[row + r])));
                }
            });
    query += count;
  }
}

}  // namespace levit::LEVIT_TARGET
