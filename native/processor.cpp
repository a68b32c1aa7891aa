#include "processor.h"

#include "platform.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace levit {

extern const Target target_portable;

#if defined(__x86_64__)

extern const Target target_avx2, target_avxvnni, target_avx512, target_amx;
const Target* const TARGETS[] = {&target_amx, &target_avx512, &target_avxvnni, &target_avx2, &target_portable};
const int TARGET_COUNT = 5;

namespace {

struct Features {
  bool avx2, avx_vnni, avx512, avx512_bf16, amx;

  Features() : avx2(false), avx_vnni(false), avx512(false), avx512_bf16(false), amx(false) {
    uint32_t a, b, c, d;
    if (!__get_cpuid_count(1, 0, &a, &b, &c, &d)) return;
    const bool has_fma = c >> 12 & 1, has_xsave = c >> 27 & 1;
    if (!has_xsave) return;
    const uint64_t saved = enabled_registers();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
    avx2 = (saved & 6) == 6 && has_fma && (b >> 5 & 1) && (b >> 8 & 1);  // BMI2 too
    const uint32_t foundation = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31;
    const uint32_t needed = foundation | dq | bw | vl;
    avx512 = avx2 && (saved & 0xe6) == 0xe6 && (b & needed) == needed && (c >> 11 & 1);
    const uint32_t tile_int8_bf16 = 1u << 24 | 1u << 25 | 1u << 22;
    amx = avx512 && (saved & 0x60000) == 0x60000 && (d & tile_int8_bf16) == tile_int8_bf16;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) {
      avx_vnni = avx2 && (a >> 4 & 1);
      avx512_bf16 = avx512 && (a >> 5 & 1);
    }
  }

  static uint64_t enabled_registers() {
    uint32_t low, high;
    asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return uint64_t(high) << 32 | low;
  }
};

}  // namespace

bool is_supported(const Target& target) {
  const Features features;
  if (&target == &target_amx) return features.amx && features.avx512_bf16 && may_use_matrix_registers();
  if (&target == &target_avx512) return features.avx512;
  if (&target == &target_avxvnni) return features.avx_vnni;
  if (&target == &target_avx2) return features.avx2;
  return true;
}

#elif defined(__aarch64__)

extern const Target target_dotprod, target_i8mm;
const Target* const TARGETS[] = {&target_i8mm, &target_dotprod, &target_portable};
const int TARGET_COUNT = 3;

bool is_supported(const Target& target) {
  const ArmFeatures features = arm_features();
  if (&target == &target_i8mm) return features.dot_product && features.int8_matrices && features.bf16;
  if (&target == &target_dotprod) return features.dot_product;
  return true;
}

#else

const Target* const TARGETS[] = {&target_portable};
const int TARGET_COUNT = 1;
bool is_supported(const Target&) { return true; }

#endif

}  // namespace levit
