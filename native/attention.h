// Attention of one image and head: softmax(queries keys^T + bias) values, a few queries at a time.
#pragma once
#include "epilogues.h"
#include "workspace.h"

namespace levit::LEVIT_TARGET {

// One head of one image: rows of queries, keys and values.
struct Head {
  const Attention* attention;
  int index;
  const float *query, *key, *value;
  Index query_row, key_row, value_row;
  int keys, padded_keys, key_dim, value_dim;
};

// Bias of one query, whose keys are in rows of which each vector contains at most two.
INLINE void merge_rows(const float* table, int y, int height, int width, int row, int padded, float* out) {
  const Ints lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  int key_y = 0, column = 0;
  const auto keys = [&](int key_y) { return table + Index(key_y < y ? y - key_y : key_y - y) * row; };
  for (int k = 0; k < padded; k += LANES, column += LANES) {
    for (; column >= width; column -= width) key_y++;
    const int count = width - column;  // of the first row
    Floats bias = load(keys(key_y) + column);
    if (count < LANES) {
      const Floats next = key_y + 1 < height ? load(keys(key_y + 1) - count) : splat(-1e30f);
      bias = lanes < splat(count) ? bias : next;
    }
    store(out + k, bias);
  }
}

// Bias of `count` queries from the one at `first`: [count][padded keys], -1e30 beyond the last key, and a vector beyond.
inline void expand_bias(const Attention& a, int head, int first, int count, float* out) {
  const int width = a.in_width, row = a.bias_row(), padded = a.padded(a.keys());
  const int divisor = width & -width;  // the greatest power of two; not std::gcd, whose code all targets would share
  const bool has_two_rows = width + divisor >= LANES;
  for (int query = first; query < first + count; query++, out += padded) {
    const int y = query / a.out_width * a.stride, x = query % a.out_width * a.stride;
    const float* table = a.bias + Index(head) * a.in_height * row + width - 1 - x;  // of the first key of each row
    if (has_two_rows) {
      merge_rows(table, y, a.in_height, width, row, padded, out);
      continue;
    }
    float* to = out;
    for (int key_y = 0; key_y < a.in_height; key_y++, to += width) {
      const float* from = table + Index(key_y < y ? y - key_y : key_y - y) * row;
      for (int i = 0; i < width; i += LANES) store(to + i, load(from + i));
    }
    for (; to < out + padded; to += LANES) store(to, splat(-1e30f));
  }
}

// Keys as panels of 16: [keys / 16][key_dim][16], zero beyond the last key.
inline void transpose_keys(const Head& head, float* out) {
  for (int first = 0; first < head.padded_keys; first += LANES, out += Index(head.key_dim) * LANES) {
    const int count = head.keys - first < LANES ? head.keys - first : LANES;
    for (int j = 0; j < count; j++) {
      const float* key = head.key + (first + j) * head.key_row;
      for (int d = 0; d < head.key_dim; d++) out[d * LANES + j] = key[d];
    }
    for (int j = count; j < LANES; j++)
      for (int d = 0; d < head.key_dim; d++) out[d * LANES + j] = 0;
  }
}

INLINE float largest_score(const float* scores, int padded_keys) {
  Floats most = load(scores);
  for (int k = LANES; k < padded_keys; k += LANES) most = max(most, load(scores + k));
  return largest(most);
}

// Replace the scores of a query by powers of two relative to the largest, and return the inverse of their sum.
INLINE float softmax(float* scores, int padded_keys) {
  const Floats offset = splat(largest_score(scores, padded_keys));
  Floats total = splat(0.f);
  for (int k = 0; k < padded_keys; k += LANES) {
    const Floats power = exp2(load(scores + k) - offset);
    store(scores + k, power);
    total += power;
  }
  return 1 / sum(total);
}

// Context of the queries [first, last) of a head, after the activation.
inline void attend(const Head& head, int first, int last, Scratch& scratch, const Output& out) {
  float *scores = scratch.scores, *bias = scratch.bias;
  transpose_keys(head, scratch.keys);
  const Panels<float> keys{scratch.keys, Index(head.key_dim) * LANES, LANES};
  const Panels<float> values{head.value, LANES, head.value_row};
  for (int query = first; query < last;) {
    const int count = last - query < MAX_QUERIES ? last - query : MAX_QUERIES;
    expand_bias(*head.attention, head.index, query, count, bias);
    const Rows<float> a{head.query + query * head.query_row, head.query_row, 0, 1, head.key_dim};
    product(a, count, keys, 0, head.padded_keys / LANES,
            [&](const Floats* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++)
                for (int p = 0; p < panels; p++) {
                  const Index at = Index(row + r) * head.padded_keys + Index(panel + p) * LANES;
                  store(scores + at, sums[r * panels + p] + load(bias + at));
                }
            });
    float inverse[MAX_QUERIES];
    for (int i = 0; i < count; i++) inverse[i] = softmax(scores + Index(i) * head.padded_keys, head.padded_keys);
    const Rows<float> powers{scores, head.padded_keys, 0, 1, head.keys};
    product(powers, count, values, 0, head.value_dim / LANES,
            [&](const Floats* sums, int row, int rows, int panel, int panels) __attribute__((always_inline)) {
              for (int r = 0; r < rows; r++)
                for (int p = 0; p < panels; p++) {
                  const Index at = Index(query + row + r) * out.row + Index(panel + p) * LANES;
                  store_context(out, at, activate(out.activation, sums[r * panels + p] * splat(inverse[row + r])));
                }
            });
    query += count;
  }
}

}  // namespace levit::LEVIT_TARGET
