// Vectors of 16 numbers, in the widest registers of the target. Each target is compiled from the same source.
#pragma once
#include <cstdint>
#include <cstring>
#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 32")
#endif

namespace levit::LEVIT_TARGET {

typedef float Floats __attribute__((vector_size(64)));
typedef int32_t Ints __attribute__((vector_size(64)));
typedef uint32_t Words __attribute__((vector_size(64)));  // whose overflow is defined
typedef int16_t Shorts __attribute__((vector_size(32)));
typedef uint8_t Bytes __attribute__((vector_size(16)));
typedef float LooseFloats __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t LooseInts __attribute__((vector_size(64), aligned(4), may_alias));
typedef int16_t LooseShorts __attribute__((vector_size(32), aligned(2), may_alias));
typedef uint8_t LooseBytes __attribute__((vector_size(16), aligned(1), may_alias));

INLINE Floats load(const float* p) { return *reinterpret_cast<const LooseFloats*>(p); }
INLINE Ints load(const int32_t* p) { return *reinterpret_cast<const LooseInts*>(p); }
INLINE void store(float* p, Floats v) { *reinterpret_cast<LooseFloats*>(p) = v; }
INLINE void store(int32_t* p, Ints v) { *reinterpret_cast<LooseInts*>(p) = v; }
INLINE Floats splat(float x) { return Floats{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE Ints splat(int32_t x) { return Ints{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}; }
INLINE Floats to_floats(Ints v) { return __builtin_convertvector(v, Floats); }
INLINE Floats min(Floats a, Floats b) { return a < b ? a : b; }
INLINE Floats max(Floats a, Floats b) { return a > b ? a : b; }
INLINE Floats absolute(Floats v) { return (Floats)((Ints)v & splat(0x7fffffff)); }

// Register tiles: rows of activations times panels of weights, as many as fit into the registers.
#if defined(__AVX512F__)
constexpr int TILE_ROWS = 6, TILE_PANELS = 4, NARROW_ROWS = 14;
#elif defined(__AVX2__)
constexpr int TILE_ROWS = 6, TILE_PANELS = 1, NARROW_ROWS = 6;
#elif defined(__aarch64__)
constexpr int TILE_ROWS = 6, TILE_PANELS = 1, NARROW_ROWS = 6;
#else
constexpr int TILE_ROWS = 2, TILE_PANELS = 1, NARROW_ROWS = 2;
#endif

// Dot products of Arm without i8mm multiply signed bytes only: there, the tiles of products.h correct the sums.
#if defined(__ARM_FEATURE_DOTPROD) && !defined(__ARM_FEATURE_MATMUL_INT8)
constexpr bool CODES_ARE_SHIFTED = true;
#else
constexpr bool CODES_ARE_SHIFTED = false;
#endif

// Quantized activations in memory: of two bytes where only products of 16-bit numbers are exact.
#if defined(__AVX2__) && !defined(__AVXVNNI__) && !defined(__AVX512VNNI__)
#define CODES_ARE_WIDE
typedef int16_t Code;
#else
typedef uint8_t Code;
#endif

// sums[i] += the products of four unsigned codes, the bytes of `codes`, with the signed bytes 4 i to 4 i + 3 of
// `weights`; exact, without saturation. 128 is subtracted from the codes if CODES_ARE_SHIFTED.
INLINE Ints multiply_add(Ints sums, int32_t codes, const int8_t* weights) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpbusd_epi32((__m512i)sums, _mm512_set1_epi32(codes), _mm512_loadu_si512(weights));
#elif defined(__AVXVNNI__)
  __m256i halves[2];
  memcpy(halves, &sums, 64);
  const __m256i a = _mm256_set1_epi32(codes);
  for (int h = 0; h < 2; h++)
    halves[h] = _mm256_dpbusd_avx_epi32(halves[h], a, _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 32 * h)));
  memcpy(&sums, halves, 64);
  return sums;
#elif defined(__ARM_FEATURE_DOTPROD)
  int32x4_t quarters[4];
  memcpy(quarters, &sums, 64);
  UNROLL for (int q = 0; q < 4; q++) {
    const int8x16_t w = vld1q_s8(weights + 16 * q);
#if defined(__ARM_FEATURE_MATMUL_INT8)
    quarters[q] = vusdotq_s32(quarters[q], vreinterpretq_u8_s32(vdupq_n_s32(codes)), w);
#else
    quarters[q] = vdotq_s32(quarters[q], vreinterpretq_s8_s32(vdupq_n_s32(codes ^ INT32_C(-0x7f7f7f80))), w);
#endif
  }
  memcpy(&sums, quarters, 64);
  return sums;
#else
  const Ints w = load(reinterpret_cast<const int32_t*>(weights));
  Words total = (Words)sums;
  for (int byte = 0; byte < 4; byte++)
    total += (Words)splat(static_cast<int32_t>(static_cast<uint8_t>(codes >> 8 * byte))) * (Words)((w << (24 - 8 * byte)) >> 24);
  return (Ints)total;
#endif
}

// sums[i] += the products of two numbers in int16, the halves of `pair`, with the numbers 2 i and 2 i + 1 of `weights`;
// without saturation.
INLINE Ints multiply_add(Ints sums, int32_t pair, const int16_t* weights) {
#if defined(__AVX512VNNI__)
  return (Ints)_mm512_dpwssd_epi32((__m512i)sums, _mm512_set1_epi32(pair), _mm512_loadu_si512(weights));
#elif defined(__AVX2__)
  __m256i halves[2];
  memcpy(halves, &sums, 64);
  const __m256i a = _mm256_set1_epi32(pair);
  for (int h = 0; h < 2; h++) {
    const __m256i w = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights + 16 * h));
#if defined(__AVXVNNI__)
    halves[h] = _mm256_dpwssd_avx_epi32(halves[h], a, w);
#else
    halves[h] = _mm256_add_epi32(halves[h], _mm256_madd_epi16(a, w));
#endif
  }
  memcpy(&sums, halves, 64);
  return sums;
#else
  const Ints w = load(reinterpret_cast<const int32_t*>(weights));
  const Ints low = splat(int32_t(static_cast<int16_t>(pair))), high = splat(pair >> 16);
  return (Ints)((Words)sums + (Words)low * (Words)((w << 16) >> 16) + (Words)high * (Words)(w >> 16));
#endif
}

// sums[i] += the products of two numbers in bf16 with the numbers 2 i and 2 i + 1 of `weights`.
INLINE Floats multiply_add_bf16(Floats sums, int32_t pair, const uint16_t* weights) {
#if defined(__AVX512BF16__)
  return (Floats)_mm512_dpbf16_ps((__m512)sums, (__m512bh)_mm512_set1_epi32(pair), (__m512bh)_mm512_loadu_si512(weights));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  float32x4_t quarters[4];
  memcpy(quarters, &sums, 64);
  const bfloat16x8_t a = vreinterpretq_bf16_s32(vdupq_n_s32(pair));
  UNROLL for (int q = 0; q < 4; q++)
    quarters[q] = vbfdotq_f32(quarters[q], a, vld1q_bf16(reinterpret_cast<const bfloat16_t*>(weights + 8 * q)));
  memcpy(&sums, quarters, 64);
  return sums;
#else
  const Ints w = load(reinterpret_cast<const int32_t*>(weights)), high = splat(-65536);
  return sums + (Floats)(splat(pair) << 16) * (Floats)(w << 16) + (Floats)(splat(pair) & high) * (Floats)(w & high);
#endif
}

// Round to the nearest integer, halves to even; of values within 2^22.
INLINE Ints rounded(Floats values) {
#if defined(__AVX512F__)
  return (Ints)_mm512_cvtps_epi32((__m512)values);
#else
  const Floats magic = splat(12582912.f);  // 1.5 * 2^23: the sum's last bit is worth one
  return (Ints)((Words)(values + magic) - (Words)magic);
#endif
}

// Round values to the nearest codes in [0, 255], halves to even, and store them one vector after the other.
template <int VECTORS>
INLINE void store_codes(Code* p, const Floats (&values)[VECTORS]) {
#if defined(__AVX512BW__)
  __m512i codes[VECTORS];
  const __m512 most = _mm512_set1_ps(255);  // from 2^31 on, conversion would give the smallest integer
  UNROLL for (int i = 0; i < VECTORS; i++) codes[i] = _mm512_cvtps_epi32(_mm512_min_ps(most, (__m512)values[i]));
  const __m512i lanes = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  if constexpr (VECTORS == 4) {
    const __m512i low = _mm512_packs_epi32(codes[0], codes[1]), high = _mm512_packs_epi32(codes[2], codes[3]);
    _mm512_storeu_si512(p, _mm512_permutexvar_epi32(lanes, _mm512_packus_epi16(low, high)));
  } else if constexpr (VECTORS == 2) {
    const __m512i both = _mm512_packs_epi32(codes[0], codes[1]);
    const __m512i ordered = _mm512_permutexvar_epi32(lanes, _mm512_packus_epi16(both, both));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_castsi512_si256(ordered));
  } else {
    UNROLL for (int i = 0; i < VECTORS; i++)
      _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 16 * i), _mm512_cvtusepi32_epi8(_mm512_max_epi32(codes[i], _mm512_setzero_si512())));
  }
#else
  UNROLL for (int i = 0; i < VECTORS; i++) {
    const Ints codes = rounded(min(max(values[i], splat(0.f)), splat(255.f)));
#if defined(CODES_ARE_WIDE)
    *reinterpret_cast<LooseShorts*>(p + 16 * i) = __builtin_convertvector(codes, Shorts);
#else
    *reinterpret_cast<LooseBytes*>(p + 16 * i) = __builtin_convertvector(codes, Bytes);
#endif
  }
#endif
}

INLINE void store_codes(Code* p, Floats values) {
  const Floats one[1] = {values};
  store_codes(p, one);
}

INLINE void store_shorts(int16_t* p, Ints values) { *reinterpret_cast<LooseShorts*>(p) = __builtin_convertvector(values, Shorts); }

// Round to bf16, halves to even.
INLINE void store_bf16(uint16_t* p, Floats values) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), (__m256i)_mm512_cvtneps_pbh((__m512)values));
#elif defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
  float32x4_t q[4];
  memcpy(q, &values, 64);
  bfloat16_t* out = reinterpret_cast<bfloat16_t*>(p);
  vst1q_bf16(out, vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(q[0]), q[1]));
  vst1q_bf16(out + 8, vcvtq_high_bf16_f32(vcvtq_low_bf16_f32(q[2]), q[3]));
#else
  const Words bits = (Words)values;
  const Words rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16, not_a_number = bits >> 16 | 64;
  const Words halves = values == values ? rounded : not_a_number;
  for (int i = 0; i < 16; i++) p[i] = static_cast<uint16_t>(halves[i]);
#endif
}

// 2^x for x at most 0, with a relative error of 1e-7; below -126, at most 2^-126.
INLINE Floats exp2(Floats x) {
#if defined(__AVX512DQ__)
  const Floats f = (Floats)_mm512_reduce_ps((__m512)x, 8);  // x minus the nearest integer
#else
  x = max(x, splat(-126.f));
  const Floats magic = splat(12582912.f), shifted = x + magic;
  const Floats f = x - (shifted - magic);  // in [-1/2, 1/2]
#endif
  Floats p = splat(1.32647269e-3f);
  p = p * f + splat(9.67151266e-3f);
  p = p * f + splat(5.55073374e-2f);
  p = p * f + splat(2.40222421e-1f);
  p = p * f + splat(6.93146978e-1f);
  p = p * f + splat(1.f);
#if defined(__AVX512DQ__)
  return (Floats)_mm512_scalef_ps((__m512)p, (__m512)(x - f));
#else
  return (Floats)((Ints)p + ((Ints)shifted << 23));
#endif
}

// 2^x for x at most 12, with a relative error of 1e-4.
INLINE Floats rough_exp2(Floats x) {
#if defined(__AVX512DQ__)
  const Floats f = (Floats)_mm512_reduce_ps((__m512)x, 9);  // x - floor(x)
  Floats p = splat(0.07802452f) * f + splat(0.226067159f);
  p = p * f + splat(0.695833539f);
  p = p * f + splat(0.999925219f);
  return (Floats)_mm512_scalef_ps((__m512)p, (__m512)x);
#else
  return exp2(x);
#endif
}

INLINE Floats hardswish(Floats x) {
  return x * min(max(x * splat(1 / 6.f) + splat(.5f), splat(0.f)), splat(1.f));
}

INLINE Floats sigmoid(Floats x) {
  const Floats scaled = x * splat(-1.44269504f);  // exp(-x) = 2^scaled
  const Floats power = exp2(min(scaled, splat(0.f)) - max(scaled, splat(0.f)));  // 2^-|scaled|
  const Floats one = splat(1.f);
  return (scaled < splat(0.f) ? one : power) / (one + power);
}

INLINE Floats silu(Floats x) { return x * sigmoid(x); }

// x times the normal distribution function of x, whose absolute error is 1e-7 (Abramowitz and Stegun, 7.1.26).
INLINE Floats gelu(Floats x) {
  const Floats one = splat(1.f), size = max(x, -x);
  const Floats t = one / (one + size * splat(0.23164190f));
  Floats p = splat(0.53070271f);
  p = p * t + splat(-0.72657601f);
  p = p * t + splat(0.71070687f);
  p = p * t + splat(-0.14224837f);
  p = p * t + splat(0.12741480f);
  const Floats tail = p * t * exp2(x * x * splat(-0.72134752f));  // of the distribution beyond |x|
  return x * (x < splat(0.f) ? tail : one - tail);
}

// Its approximation by tanh: (1 + tanh(y)) / 2 is the sigmoid of 2 y.
INLINE Floats gelu_tanh(Floats x) {
  return x * sigmoid(x * (splat(1.59576912f) + splat(0.07135482f) * x * x));
}

INLINE float sum(Floats v) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps((__m512)v);
#else
  float total = 0;
  UNROLL for (int i = 0; i < 16; i++) total += v[i];
  return total;
#endif
}

INLINE float largest(Floats v) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps((__m512)v);
#else
  float most = v[0];
  UNROLL for (int i = 1; i < 16; i++) most = v[i] > most ? v[i] : most;
  return most;
#endif
}

}  // namespace levit::LEVIT_TARGET
