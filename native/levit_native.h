// The C interface of the library: open a model file, compute logits, close. src/levit/runtime/native_library.py has the
// same functions.
#pragma once
#include <cstdint>

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace levit {
struct Engine;
}

// Open a model file in memory, which must stay there, at a multiple of 64, until the engine is closed. `target`: name of
// an instruction set. Returns nullptr, and a sentence in `error`, if it cannot be opened.
EXPORT levit::Engine* levit_open(const uint8_t* file, uint64_t size, int threads, const char* target, const char** error);

// Logits of 8-bit images [images][height][width][channels], float32 [images][labels]. Returns 0, or 1 without memory or
// without an engine. Several threads may call it; their batches are computed one after the other.
EXPORT int levit_run_pixels(levit::Engine* engine, const uint8_t* pixels, int64_t images, float* logits);

// Logits of normalized images, float32 [images][channels][height][width].
EXPORT int levit_run_values(levit::Engine* engine, const float* values, int64_t images, float* logits);

// No other function of the engine may be running, or be called later.
EXPORT void levit_close(levit::Engine* engine);

// Channels, height and width of an image, and number of labels.
EXPORT void levit_sizes(const levit::Engine* engine, int32_t* sizes);

// Name of the n-th instruction set that this processor supports, fastest first; nullptr after the last.
EXPORT const char* levit_supported(int n);

// Version of the format of the model files that this library reads.
EXPORT uint32_t levit_format();
