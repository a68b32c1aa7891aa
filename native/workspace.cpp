#include "workspace.h"

#include <cstdlib>
#include <cstring>

#include "platform.h"

namespace levit {
namespace {

constexpr uint64_t SLACK = 256;  // bytes that vectors may read or write beyond an array
constexpr uint64_t ROWS = 16;    // that matrix registers may read beyond the last one

// Zeros: channels and codes beyond the last one are read, and their products are zero unless they are not finite.
template <class T>
bool allocate(T*& array, uint64_t count) {
  const uint64_t bytes = (count * sizeof(T) + SLACK + 63) / 64 * 64;
  void* memory = allocate_aligned(bytes);
  if (memory == nullptr) return false;
  memset(memory, 0, bytes);
  array = static_cast<T*>(memory);
  return true;
}

}  // namespace

int group_size(const Model& model) {
  constexpr uint64_t TOKENS = 784;  // of four images of 224 pixels after the stem
  const uint64_t images = TOKENS / model.sizes.tokens;
  return images < 4 ? 4 : images > 16 ? 16 : static_cast<int>(images);
}

Workspace* new_workspace(const Model& model, int images) {
  Workspace* w = static_cast<Workspace*>(calloc(1, sizeof(Workspace)));
  if (w == nullptr) return nullptr;
  const Sizes& s = model.sizes;
  const uint64_t n = images, more = ROWS * s.row;
  w->images = images;
  const bool complete = allocate(w->stem_codes[0], 2 * (s.stem + more)) && allocate(w->stem_codes[1], 2 * (s.stem + more)) &&
                        allocate(w->stem_values[0], s.stem) && allocate(w->stem_values[1], s.stem) &&
                        allocate(w->stream, n * s.stream) && allocate(w->next_stream, n * s.stream) &&
                        allocate(w->codes, 2 * (n * s.stream + more)) && allocate(w->next_codes, 2 * (n * s.stream + more)) &&
                        allocate(w->other_codes, 2 * (n * s.stream + more)) && allocate(w->chosen, n * s.stream) &&
                        allocate(w->chosen_codes, 2 * (n * s.stream + more)) && allocate(w->rows, n * s.rows + more) &&
                        allocate(w->context, n * s.context) && allocate(w->context_codes, 2 * (n * s.context + more)) &&
                        allocate(w->hidden, n * s.hidden) && allocate(w->hidden_codes, 2 * (n * s.hidden + more));
  if (complete) return w;
  free_workspace(w);
  return nullptr;
}

void free_workspace(Workspace* w) {
  if (w == nullptr) return;
  void* arrays[] = {w->stem_codes[0], w->stem_codes[1], w->stem_values[0], w->stem_values[1], w->stream,  w->next_stream,
                    w->codes,         w->next_codes,    w->other_codes,    w->chosen,         w->chosen_codes, w->rows,
                    w->context,       w->context_codes, w->hidden,         w->hidden_codes};
  for (void* array : arrays) free_aligned(array);
  free(w);
}

Scratch* new_scratch(const Model& model) {
  Scratch* s = static_cast<Scratch*>(calloc(1, sizeof(Scratch)));
  if (s == nullptr) return nullptr;
  const Sizes& sizes = model.sizes;
  if (allocate(s->keys, sizes.keys) && allocate(s->scores, MAX_QUERIES * sizes.scores) &&
      allocate(s->bias, MAX_QUERIES * sizes.scores) && allocate(s->half_keys, sizes.keys) &&
      allocate(s->half_values, sizes.values) && allocate(s->powers, MAX_QUERIES * (sizes.scores + LANES)) &&
      allocate(s->half_queries, MAX_QUERIES * sizes.row))
    return s;
  free_scratch(s);
  return nullptr;
}

void free_scratch(Scratch* s) {
  if (s == nullptr) return;
  free_aligned(s->keys);
  free_aligned(s->scores);
  free_aligned(s->bias);
  free_aligned(s->half_keys);
  free_aligned(s->half_values);
  free_aligned(s->powers);
  free_aligned(s->half_queries);
  free(s);
}

}  // namespace levit
