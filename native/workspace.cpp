#include "workspace.h"

#include <cstdlib>
#include <cstring>
#include <type_traits>

#include "platform.h"

namespace levit {
namespace {

constexpr uint64_t SLACK = 256;  // bytes that vectors may read or write beyond an array
constexpr uint64_t ROWS = 16;    // that matrix registers may read beyond the last one

uint64_t bytes_of(uint64_t count, uint64_t size) { return (count * size + SLACK + 63) / 64 * 64; }

// Call use(array, elements) for each array, until one call returns false.
template <class F>
bool for_arrays(Workspace& w, const Sizes& s, uint64_t images, const F& use) {
  const uint64_t stream = images * s.stream, more = ROWS * s.row;
  return use(w.stem_codes[0], 2 * (s.stem + more)) && use(w.stem_codes[1], 2 * (s.stem + more)) &&
         use(w.stem_values[0], s.stem) && use(w.stem_values[1], s.stem) && use(w.stream, stream) &&
         use(w.next_stream, stream) && use(w.codes, 2 * (stream + more)) && use(w.next_codes, 2 * (stream + more)) &&
         use(w.other_codes, 2 * (stream + more)) && use(w.chosen, stream) && use(w.chosen_codes, 2 * (stream + more)) &&
         use(w.rows, images * s.rows + more) && use(w.context, images * s.context) &&
         use(w.context_codes, 2 * (images * s.context + more)) && use(w.hidden, images * s.hidden) &&
         use(w.hidden_codes, 2 * (images * s.hidden + more));
}

template <class F>
bool for_arrays(Scratch& scratch, const Sizes& s, uint64_t, const F& use) {
  return use(scratch.keys, s.keys) && use(scratch.scores, MAX_QUERIES * s.scores) && use(scratch.bias, MAX_QUERIES * s.scores) &&
         use(scratch.keys_16_bit, s.keys) && use(scratch.values_16_bit, s.values) &&
         use(scratch.powers, MAX_QUERIES * (s.scores + LANES)) && use(scratch.queries_16_bit, MAX_QUERIES * s.row);
}

template <class T>
uint64_t total_bytes(const Sizes& sizes, uint64_t images) {
  T memory{};
  uint64_t total = 0;
  for_arrays(memory, sizes, images, [&](auto* array, uint64_t count) { return total += bytes_of(count, sizeof(*array)), true; });
  return total;
}

template <class T>
void free_all(T* memory) {
  if (memory == nullptr) return;
  for_arrays(*memory, Sizes{}, 0, [](auto* array, uint64_t) { return free_aligned(array), true; });
  free(memory);
}

// Zeros: channels and codes beyond the last one are read, and their products are zero unless they are not finite.
template <class T>
T* allocate_all(const Sizes& sizes, uint64_t images) {
  T* memory = static_cast<T*>(calloc(1, sizeof(T)));
  if (memory == nullptr) return nullptr;
  const bool is_complete = for_arrays(*memory, sizes, images, [](auto*& array, uint64_t count) {
    const uint64_t bytes = bytes_of(count, sizeof(*array));
    void* zeros = allocate_aligned(bytes);
    if (zeros == nullptr) return false;
    memset(zeros, 0, bytes);
    array = static_cast<std::remove_reference_t<decltype(array)>>(zeros);
    return true;
  });
  if (is_complete) return memory;
  free_all(memory);
  return nullptr;
}

}  // namespace

int group_size(const Model& model) {
  constexpr uint64_t TOKENS = 784;  // of four images of 224 pixels after the stem
  const uint64_t images = TOKENS / model.sizes.tokens;
  return images < 4 ? 4 : images > 16 ? 16 : static_cast<int>(images);
}

Workspace* new_workspace(const Model& model, int images) {
  Workspace* w = allocate_all<Workspace>(model.sizes, images);
  if (w != nullptr) w->images = images;
  return w;
}

void free_workspace(Workspace* w) { free_all(w); }

Scratch* new_scratch(const Model& model) { return allocate_all<Scratch>(model.sizes, 0); }

void free_scratch(Scratch* s) { free_all(s); }

uint64_t memory_of_a_thread(const Model& model) {
  return total_bytes<Workspace>(model.sizes, group_size(model)) + total_bytes<Scratch>(model.sizes, 0);
}

}  // namespace levit
