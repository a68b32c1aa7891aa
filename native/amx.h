// Products in the matrix registers of AMX: 32 rows times two panels, in int8 or bf16.
#pragma once
#include "products.h"

namespace levit::LEVIT_TARGET {

#if defined(__AMX_INT8__)

constexpr bool HAS_AMX = true;

// Registers 0 to 3: sums of 16 rows and one panel; 4 and 5: 16 rows of codes or bf16; 6 and 7: weights of one panel.
struct alignas(64) TileConfiguration {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// `steps` of four bytes at a time, at most 16.
INLINE void configure_tiles(int steps) {
  TileConfiguration c;
  for (int i = 0; i < 8; i++) c.row_bytes[i] = 64, c.rows[i] = 16;
  c.row_bytes[4] = c.row_bytes[5] = static_cast<uint16_t>(4 * steps);
  c.rows[6] = c.rows[7] = static_cast<uint8_t>(steps);
  _tile_loadconfig(&c);
}

INLINE void release_tiles() { _tile_release(); }

// Some compilers do not know that the instructions of AMX read and write memory.
INLINE void finish_memory_accesses() { asm volatile("" ::: "memory"); }

// Steps of one instruction: the largest divisor of the steps of a row that fits, so that none is left over.
inline int steps_of_tile(int steps) {
  int most = steps < 16 ? steps : 16;
  while (steps % most) most--;
  return most;
}

// Add the products of the registers `a` and `b`, of codes or of bf16. Registers are constants.
#define MULTIPLY(B, sums, a, b)                    \
  if constexpr (sizeof(B) == 1) {                  \
    _tile_dpbusd(sums, a, b);                      \
  } else {                                         \
    _tile_dpbf16ps(sums, a, b);                    \
  }

// Sums of 16 or 32 rows and one or two panels, stored as [rows][panels][16]. Rows beyond the last one are read too.
// `ahead`: two panels of weights that are needed later, and moved into the cache, or nullptr.
template <bool TWO_ROWS, bool TWO_PANELS, class A, class B, class S>
INLINE void matrix_tile(const Rows<A>& rows, const A* a, const B* b, const B* ahead, Index panel, int steps, S* out) {
  constexpr int UNIT = 4 / sizeof(B);  // values of a step
  const Index row_bytes = rows.row * sizeof(A);
  finish_memory_accesses();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int s = 0; s < rows.segments; s++) {
    const A* from = a + s * rows.segment;
    for (int k = 0; k < rows.steps; k += steps, from += UNIT * steps, b += 16 * UNIT * steps) {
      if (ahead) {
        for (int i = 0; i < steps; i++, ahead += 16 * UNIT) __builtin_prefetch(ahead, 0, 2), __builtin_prefetch(ahead + panel, 0, 2);
      }
      _tile_loadd(4, from, row_bytes);
      _tile_loadd(6, b, 64);
      MULTIPLY(B, 0, 4, 6)
      if constexpr (TWO_PANELS) {
        _tile_loadd(7, b + panel, 64);
        MULTIPLY(B, 1, 4, 7)
      }
      if constexpr (TWO_ROWS) {
        _tile_loadd(5, from + 16 * rows.row, row_bytes);
        MULTIPLY(B, 2, 5, 6)
      }
      if constexpr (TWO_ROWS && TWO_PANELS) {
        MULTIPLY(B, 3, 5, 7)
      }
    }
  }
  constexpr int PANELS = TWO_PANELS ? 2 : 1;
  _tile_stored(0, out, 64 * PANELS);
  if constexpr (TWO_PANELS) {
    _tile_stored(1, out + 1, 64 * PANELS);
  }
  if constexpr (TWO_ROWS) {
    _tile_stored(2, out + 16 * PANELS, 64 * PANELS);
  }
  if constexpr (TWO_ROWS && TWO_PANELS) {
    _tile_stored(3, out + 16 * PANELS + 1, 64 * PANELS);
  }
  finish_memory_accesses();
}

// Products of the rows [begin, end) with one or two panels.
template <bool TWO_PANELS, class A, class B, class F>
INLINE void column_of_matrix_tiles(const Rows<A>& rows, int begin, int end, const Panels<B>& weights, int panel, int steps, const F& finish) {
  alignas(64) typename SumsOf<B>::type sums[32 * (TWO_PANELS ? 2 : 1)];
  const B* b = weights.data + panel * weights.panel;
  for (int row = begin; row < end; row += 32) {
    const int height = end - row < 32 ? end - row : 32;
    const A* a = rows.data + row * rows.row;
    const B* ahead = row == 0 && TWO_PANELS ? b + 2 * weights.panel : nullptr;
    if (height > 16) matrix_tile<true, TWO_PANELS>(rows, a, b, ahead, weights.panel, steps, sums);
    else matrix_tile<false, TWO_PANELS>(rows, a, b, ahead, weights.panel, steps, sums);
    finish(sums, row, height, panel, TWO_PANELS ? 2 : 1);
  }
}

constexpr int CACHED_BYTES = 24 << 10;  // of rows that stay in the first cache while they are multiplied with all panels

// Products of `count` rows with the panels [first, last), as `product`; false where short rows make it slower.
template <class A, class B, class F>
INLINE bool product_in_tiles(const Rows<A>& rows, int count, const Panels<B>& weights, int first, int last, const F& finish) {
  const int steps = steps_of_tile(rows.steps);
  if (steps < (sizeof(B) == 1 ? 8 : 4)) return false;
  configure_tiles(steps);
  const int fitting = CACHED_BYTES / (4 * rows.steps * rows.segments) / 32 * 32, block = fitting < 32 ? 32 : fitting;
  for (int begin = 0; begin < count; begin += block) {
    const int end = count - begin < block ? count : begin + block;
    int panel = first;
    for (; panel + 2 <= last; panel += 2) column_of_matrix_tiles<true>(rows, begin, end, weights, panel, steps, finish);
    if (panel < last) column_of_matrix_tiles<false>(rows, begin, end, weights, panel, steps, finish);
  }
  return true;
}

#else

constexpr bool HAS_AMX = false;
INLINE void release_tiles() {}
template <class A, class B, class F>
INLINE bool product_in_tiles(const Rows<A>&, int, const Panels<B>&, int, int, const F&) { return false; }

#endif

}  // namespace levit::LEVIT_TARGET
