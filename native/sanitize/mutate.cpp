// Opens mutated model files and computes an image with those that are accepted; run under sanitizers.
//
// mutate FILE COUNT SEED: each of COUNT copies has one to eight changed bytes or words, mostly among the records at the
// start; one and three threads compute in turn. mutate FILE 0 THREADS: computes batches of one to nine images with
// THREADS threads from two threads at once.
#include <pthread.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../levit_native.h"
#include "../model_file.h"

namespace {

using levit::Engine;
using levit::file::Header;

uint64_t state;
uint64_t random_number() {
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state;
}

uint64_t size_of_records(const Header& header) {
  return sizeof(Header) + sizeof(levit::file::Layer) * header.layers + sizeof(levit::file::Convolution) * header.convolutions +
         sizeof(levit::file::Block) * header.blocks;
}

void mutate(uint8_t* file, uint64_t size, uint64_t records) {
  const uint32_t numbers[] = {0, 1, 2, 15, 16, 17, 64, 255, 65536, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
  for (uint64_t changes = 1 + random_number() % 8; changes > 0; changes--) {
    const uint64_t at = 8 + random_number() % ((random_number() % 8 ? records : size) - 16);
    const uint32_t number = random_number() % 2 ? numbers[random_number() % 13] : static_cast<uint32_t>(random_number());
    if (random_number() % 2) file[at] = static_cast<uint8_t>(number);
    else memcpy(file + at / 4 * 4, &number, 4);
  }
}

void run(Engine* engine, const Header& header, long images) {
  const uint64_t count = uint64_t(header.height) * header.width * header.channels * images;
  uint8_t* pixels = static_cast<uint8_t*>(malloc(count));
  float* logits = static_cast<float*>(malloc(sizeof(float) * header.labels * images));
  for (uint64_t i = 0; i < count; i++) pixels[i] = static_cast<uint8_t>(i * 2654435761u >> 13);
  levit_run_pixels(engine, pixels, images, logits);
  free(pixels);
  free(logits);
}

void* run_batches(void* argument) {
  auto* both = static_cast<const void* const*>(argument);
  for (int i = 0; i < 30; i++)
    run(static_cast<Engine*>(const_cast<void*>(both[0])), *static_cast<const Header*>(both[1]), 1 + i % 9);
  return nullptr;
}

void share(const uint8_t* file, uint64_t size, int threads) {
  const char* error;
  Header header;
  memcpy(&header, file, sizeof(header));
  for (int n = 0; levit_supported(n); n++) {
    Engine* engine = levit_open(file, size, threads, levit_supported(n), &error);
    if (engine == nullptr) puts(error), exit(1);
    const void* both[] = {engine, &header};
    pthread_t other;
    pthread_create(&other, nullptr, run_batches, both);
    run_batches(both);
    pthread_join(other, nullptr);
    levit_close(engine);
    printf("%s: shared by 2 callers and %d threads\n", levit_supported(n), threads);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  FILE* stream = fopen(argv[1], "rb");
  if (stream == nullptr) return 2;
  fseek(stream, 0, SEEK_END);
  const uint64_t size = static_cast<uint64_t>(ftell(stream));
  rewind(stream);
  uint8_t *original, *file;
  if (posix_memalign(reinterpret_cast<void**>(&original), 64, size) || fread(original, 1, size, stream) != size) return 2;
  fclose(stream);
  Header header;
  memcpy(&header, original, sizeof(header));
  const long count = atol(argv[2]);
  if (count == 0) {
    share(original, size, atoi(argv[3]));
    free(original);
    return 0;
  }
  const uint64_t records = size_of_records(header);
  state = 88172645463325252u + strtoull(argv[3], nullptr, 10);
  long accepted = 0, targets = 0;
  while (levit_supported(static_cast<int>(targets))) targets++;
  for (long i = 0; i < count; i++) {
    const uint64_t length = random_number() % 16 ? size : random_number() % size;  // an exact allocation finds overreads
    if (posix_memalign(reinterpret_cast<void**>(&file), 64, length + 1)) return 2;
    memcpy(file, original, length);
    if (length > records + 64) mutate(file, length, records);
    const char* error;
    const int threads = i / targets % 2 ? 3 : 1;
    Engine* engine = levit_open(file, length, threads, levit_supported(static_cast<int>(i % targets)), &error);
    if (engine != nullptr) {
      memcpy(&header, file, sizeof(header));
      // Sometimes more than a group; the third time, all threads compute one image.
      for (int n = 0; n < threads; n++) run(engine, header, i % 16 ? 1 : 1 + i / 16 % 20);
      accepted++;
    }
    levit_close(engine);
    free(file);
  }
  free(original);
  printf("%ld files: %ld accepted and computed, %ld refused\n", count, accepted, count - accepted);
}
