// Products of codes that are kept in 16 bits, with AVX2 but without VNNI.
#pragma once
#include "vectors.h"

#if defined(CODES_ARE_WIDE)

namespace levit::LEVIT_TARGET {

// Four weights of each of 8 columns, in int16. Each column has two partial sums, of the products of the first two codes
// and of the last two. vpmaddubsw, which multiplies bytes, would saturate.
struct WideWeights {
  __m256i columns[2];
  explicit INLINE WideWeights(const int8_t* weights) {
    for (int i = 0; i < 2; i++)
      columns[i] = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(weights + 16 * i)));
  }
};

struct WideSums {
  __m256i columns[2];

  INLINE void add_products(const Code* codes, const WideWeights& weights) {
    int64_t four;
    memcpy(&four, codes, 8);
    const __m256i a = _mm256_set1_epi64x(four);
    for (int i = 0; i < 2; i++) columns[i] = _mm256_add_epi32(columns[i], _mm256_madd_epi16(a, weights.columns[i]));
  }

  INLINE void store(int32_t* p) const {
    const __m256i sums = _mm256_hadd_epi32(columns[0], columns[1]);  // of the columns 0, 1, 4, 5, 2, 3, 6, 7
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(sums, 0xd8));
  }
};

}  // namespace levit::LEVIT_TARGET

#endif
