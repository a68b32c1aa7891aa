#include "platform.h"

#include <cstdlib>

#if defined(_WIN32)
#include <malloc.h>
#include <windows.h>
#else
#include <ctime>
#endif
#if defined(__linux__)
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace levit {

static bool is_addressable(uint64_t bytes) { return static_cast<size_t>(bytes) == bytes; }  // size_t may have 32 bits

#if defined(_WIN32)

void* allocate_aligned(uint64_t bytes) { return is_addressable(bytes) ? _aligned_malloc(bytes, 64) : nullptr; }
void free_aligned(void* memory) { _aligned_free(memory); }

double now() {
  LARGE_INTEGER count, frequency;
  QueryPerformanceCounter(&count);
  QueryPerformanceFrequency(&frequency);
  return static_cast<double>(count.QuadPart) / static_cast<double>(frequency.QuadPart);
}

#else

void* allocate_aligned(uint64_t bytes) {
  void* memory = nullptr;
  return !is_addressable(bytes) || posix_memalign(&memory, 64, bytes) ? nullptr : memory;
}
void free_aligned(void* memory) { free(memory); }

double now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

#endif

bool may_use_matrix_registers() {
#if defined(__linux__) && defined(__x86_64__)
  constexpr long REQUEST_PERMISSION = 0x1023, MATRIX_REGISTERS = 18;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, MATRIX_REGISTERS) == 0;
#else
  return false;
#endif
}

#if defined(__aarch64__) && defined(__linux__)

ArmFeatures arm_features() {
  constexpr unsigned long DOT_PRODUCT = 1 << 20, INT8_MATRICES = 1 << 13, BF16 = 1 << 14;
  const unsigned long first = getauxval(AT_HWCAP), second = getauxval(AT_HWCAP2);
  return {(first & DOT_PRODUCT) != 0, (second & INT8_MATRICES) != 0, (second & BF16) != 0};
}

#elif defined(__aarch64__) && defined(__APPLE__)

static bool has(const char* name) {
  int value = 0;
  size_t size = sizeof(value);
  return sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value;
}

ArmFeatures arm_features() {
  return {has("hw.optional.arm.FEAT_DotProd"), has("hw.optional.arm.FEAT_I8MM"), has("hw.optional.arm.FEAT_BF16")};
}

#else

ArmFeatures arm_features() { return {false, false, false}; }

#endif

}  // namespace levit
