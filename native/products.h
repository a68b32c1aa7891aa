// Matrix products of rows of activations with panels of weights, a register tile at a time.
#pragma once
#include "model.h"
#include "vectors.h"
#include "wide_codes.h"

namespace levit::LEVIT_TARGET {

// Rows of activations: row r has `segments` parts of memory at data + r * row + s * segment, with steps of values (fp32),
// pairs of values (bf16, int16) or four codes (int8) each.
template <class T>
struct Rows {
  const T* data;
  Index row, segment;
  int segments, steps;
};

// Panels of weights: panel p, step k is at data + p * panel + k * step.
template <class T>
struct Panels {
  const T* data;
  Index panel, step;
};

template <class A, class B>
constexpr bool IS_SAME = false;
template <class A>
constexpr bool IS_SAME<A, A> = true;

template <class T>
struct SumsOf;
template <>
struct SumsOf<float> {
  using type = Floats;
};
template <>
struct SumsOf<uint16_t> {
  using type = Floats;
};
template <>
struct SumsOf<int8_t> {
  using type = Ints;
};
template <>
struct SumsOf<int16_t> {
  using type = Ints;
};

template <int ROWS, int PANELS>
INLINE void step(Floats (&sums)[ROWS][PANELS], const float* a, Index row, const float* b, Index panel) {
  Floats weights[PANELS];
  UNROLL for (int p = 0; p < PANELS; p++) weights[p] = load(b + p * panel);
  UNROLL for (int r = 0; r < ROWS; r++) {
    const Floats value = splat(a[r * row]);
    UNROLL for (int p = 0; p < PANELS; p++) sums[r][p] += value * weights[p];
  }
}

template <int ROWS, int PANELS>
INLINE void step(Ints (&sums)[ROWS][PANELS], const uint8_t* a, Index row, const int8_t* b, Index panel) {
  UNROLL for (int r = 0; r < ROWS; r++) {
    int32_t codes;
    memcpy(&codes, a + r * row, 4);
    UNROLL for (int p = 0; p < PANELS; p++) sums[r][p] = multiply_add(sums[r][p], codes, b + p * panel);
  }
}

// Products of the weights with -128, by which the sums of shifted codes are too small.
template <int PANELS>
INLINE void add_shifts(Ints (&shifts)[PANELS], const int8_t* b, Index panel) {
  UNROLL for (int p = 0; p < PANELS; p++) shifts[p] = multiply_add(shifts[p], 0, b + p * panel);
}

// Pairs of numbers in int16.
template <int ROWS, int PANELS>
INLINE void step(Ints (&sums)[ROWS][PANELS], const int16_t* a, Index row, const int16_t* b, Index panel) {
  UNROLL for (int r = 0; r < ROWS; r++) {
    int32_t pair;
    memcpy(&pair, a + r * row, 4);
    UNROLL for (int p = 0; p < PANELS; p++) sums[r][p] = multiply_add(sums[r][p], pair, b + p * panel);
  }
}

// Pairs of values in bf16.
template <int ROWS, int PANELS>
INLINE void step(Floats (&sums)[ROWS][PANELS], const uint16_t* a, Index row, const uint16_t* b, Index panel) {
  UNROLL for (int r = 0; r < ROWS; r++) {
    int32_t pair;
    memcpy(&pair, a + r * row, 4);
    UNROLL for (int p = 0; p < PANELS; p++) sums[r][p] = multiply_add_bf16(sums[r][p], pair, b + p * panel);
  }
}

// Sums of one tile, stored as [ROWS][PANELS][16]. `ahead`: weights that are needed later, of which two panels are moved
// into the cache, or nullptr.
template <int ROWS, int PANELS, class A, class B, class S = typename SumsOf<B>::type>
__attribute__((noinline)) void tile(const Rows<A>& rows, const A* a, const Panels<B>& weights, const B* b, const B* ahead, S* out) {
  constexpr int WIDTH = 4 / sizeof(B);  // values of one step
  constexpr bool IS_SHIFTED = CODES_ARE_SHIFTED && IS_SAME<B, int8_t>;
  S sums[ROWS][PANELS] = {}, shifts[PANELS] = {};  // of the weights times 128
  if (ahead == nullptr) ahead = b;
  for (int s = 0; s < rows.segments; s++) {
    const A* from = a + s * rows.segment;
    for (int k = 0; k < rows.steps; k++, from += WIDTH, b += weights.step, ahead += weights.step) {
      if constexpr (PANELS == 4 && !IS_SAME<B, int16_t>) {
        __builtin_prefetch(ahead, 0, 2);
        __builtin_prefetch(ahead + weights.panel, 0, 2);
      }
      step(sums, from, rows.row, b, weights.panel);
      if constexpr (IS_SHIFTED) add_shifts(shifts, b, weights.panel);
    }
  }
  if constexpr (IS_SHIFTED) UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int p = 0; p < PANELS; p++) sums[r][p] -= shifts[p];
  UNROLL for (int r = 0; r < ROWS; r++) UNROLL for (int p = 0; p < PANELS; p++) out[r * PANELS + p] = sums[r][p];
}

#if defined(CODES_ARE_WIDE)
// Half a panel after the other, whose sums fit into the registers.
template <int ROWS, int PANELS>
__attribute__((noinline)) void tile(const Rows<Code>& rows, const Code* a, const Panels<int8_t>& weights, const int8_t* b, const int8_t*, Ints* out) {
  static_assert(PANELS == 1);
  for (int half = 0; half < 2; half++) {
    WideSums sums[ROWS] = {};
    const int8_t* weight = b + 32 * half;
    for (int s = 0; s < rows.segments; s++) {
      const Code* from = a + s * rows.segment;
      for (int k = 0; k < rows.steps; k++, from += 4, weight += weights.step) {
        const WideWeights columns(weight);
        UNROLL for (int r = 0; r < ROWS; r++) sums[r].add_products(from + r * rows.row, columns);
      }
    }
    UNROLL for (int r = 0; r < ROWS; r++) sums[r].store(reinterpret_cast<int32_t*>(out + r) + 8 * half);
  }
}
#endif

template <int PANELS, int ROWS, class A, class B, class S>
INLINE void tile_of(int count, const Rows<A>& rows, const A* a, const Panels<B>& weights, const B* b, const B* ahead, S* out) {
  if constexpr (ROWS > 1) {
    if (count < ROWS) return tile_of<PANELS, ROWS - 1>(count, rows, a, weights, b, ahead, out);
  }
  tile<ROWS, PANELS>(rows, a, weights, b, ahead, out);
}

constexpr int most_rows(int panels) { return panels == TILE_PANELS && panels > 1 ? TILE_ROWS : NARROW_ROWS; }
constexpr int MAX_TILE = TILE_ROWS * TILE_PANELS > 2 * NARROW_ROWS ? TILE_ROWS * TILE_PANELS : 2 * NARROW_ROWS;

// Tiles of equal height that cover `count` rows: finish(sums, first row, rows) after each.
template <int PANELS, class A, class B, class F>
INLINE void column_of_tiles(const Rows<A>& rows, int count, const Panels<B>& weights, int panel, const F& finish) {
  typename SumsOf<B>::type sums[MAX_TILE];
  constexpr int MOST = most_rows(PANELS);
  const int tiles = (count + MOST - 1) / MOST;
  for (int t = 0, row = 0; t < tiles; t++) {
    const int height = count / tiles + (t < count % tiles);
    const B* b = weights.data + panel * weights.panel;
    // The weights of the next columns follow in memory, also those of the next layer.
    const B* ahead = 2 * t < PANELS ? b + (PANELS + 2 * t) * weights.panel : nullptr;
    tile_of<PANELS, MOST>(height, rows, rows.data + row * rows.row, weights, b, ahead, sums);
    finish(sums, row, height, panel, PANELS);
    row += height;
  }
}

// Products of `count` rows with the panels [first, last).
template <class A, class B, class F>
INLINE void product(const Rows<A>& rows, int count, const Panels<B>& weights, int first, int last, const F& finish) {
  int panel = first;
  if constexpr (TILE_PANELS >= 4)
    for (; panel + 4 <= last; panel += 4) column_of_tiles<4>(rows, count, weights, panel, finish);
  if constexpr (TILE_PANELS >= 2)
    for (; panel + 2 <= last; panel += 2) column_of_tiles<2>(rows, count, weights, panel, finish);
  for (; panel < last; panel++) column_of_tiles<1>(rows, count, weights, panel, finish);
}

}  // namespace levit::LEVIT_TARGET
