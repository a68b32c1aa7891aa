// Computes images with every instruction set of the processor, for comparison between processors.
//
// compute MODEL IMAGES LOGITS THREADS: IMAGES are pixels [images][height][width][channels] of 8 bits. LOGITS is written:
// float32 [instruction sets][images][labels]. The names of the instruction sets are printed, one a line.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "../../native/levit_native.h"

namespace {

// Content of a file at a multiple of 64.
uint8_t* read(const char* name, uint64_t& size) {
  FILE* stream = fopen(name, "rb");
  if (stream == nullptr) return nullptr;
  fseek(stream, 0, SEEK_END);
  size = static_cast<uint64_t>(ftell(stream));
  rewind(stream);
  uint8_t* memory = static_cast<uint8_t*>(malloc(size + 64));
  uint8_t* content = memory + (64 - reinterpret_cast<uintptr_t>(memory) % 64);
  const bool is_complete = fread(content, 1, size, stream) == size;
  fclose(stream);
  return is_complete ? content : nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  uint64_t size, pixels_size;
  const uint8_t *file = read(argv[1], size), *pixels = read(argv[2], pixels_size);
  FILE* out = fopen(argv[3], "wb");
  if (file == nullptr || pixels == nullptr || out == nullptr) return 2;
  for (int n = 0; levit_supported(n); n++) {
    const char* error;
    levit::Engine* engine = levit_open(file, size, atoi(argv[4]), levit_supported(n), &error);
    if (engine == nullptr) return puts(error), 1;
    int32_t sizes[4];
    levit_sizes(engine, sizes);
    const uint64_t images = pixels_size / (uint64_t(sizes[0]) * sizes[1] * sizes[2]), count = images * sizes[3];
    float* logits = static_cast<float*>(malloc(sizeof(float) * count));
    if (levit_run_pixels(engine, pixels, static_cast<int64_t>(images), logits)) return puts("out of memory"), 1;
    levit_close(engine);
    if (fwrite(logits, sizeof(float), count, out) != count) return 2;
    free(logits);
    puts(levit_supported(n));
  }
  return fclose(out);
}
