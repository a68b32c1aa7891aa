// The engine: its threads and memory, and how a batch is divided among them.
#include <cstdlib>
#include <cstring>

#include "levit_native.h"
#include "model_file.h"
#include "platform.h"
#include "processor.h"

namespace levit {
namespace {

// A batch in progress.
struct Batch {
  const uint8_t* pixels;
  const float* values;
  Index next, end;  // images that no thread has claimed
};

// How batches of some number of images, fewer than threads, are computed: each image by a thread of its own, or one after
// the other by a team of all threads. The team is not tried before the time without it is known, and not after it was
// slower, because another process had a core and every operation waited for it. It is tried again after more and more
// batches.
struct TeamChoice {
  static constexpr int FIRST_PAUSE = 8, LONGEST_PAUSE = 4096;
  double alone = 0;  // seconds of a batch without a team, lately at best
  int pause = FIRST_PAUSE, left = 2;  // batches until the next try

  bool is_team() const { return left == 0; }
  void record(double seconds) {
    if (left > 0) {
      left--;
      alone = alone == 0 || seconds < 1.02 * alone ? seconds : 1.02 * alone;
    } else if (seconds < alone) {
      pause = FIRST_PAUSE;
    } else {
      left = pause;
      pause = 2 * pause < LONGEST_PAUSE ? 2 * pause : LONGEST_PAUSE;
    }
  }
};

}  // namespace

struct Engine {
  const Target* target;
  Model* model;
  Threads* threads;
  int wanted, count;       // threads
  bool is_prepared;        // at the first batch, so that a process may be forked before
  Workspace** workspaces;  // of each thread, once it needs them
  Scratch** scratches;
  Barrier barrier;
  pthread_mutex_t mutex;  // one batch at a time
  Batch batch;
  float *features, *logits;
  Index capacity;       // images of these
  int team;             // threads that work on the same image, or 1
  TeamChoice* choices;  // by the number of images
};

namespace {

// Images of a batch for each thread. A larger batch is computed in parts, so that `features` and `logits` stay small.
constexpr Index MAX_IMAGES = 1024;

Index take_images(Batch& batch, Index most, Index& first) {
  first = __atomic_fetch_add(&batch.next, most, __ATOMIC_RELAXED);
  const Index left = batch.end - first;
  return left < most ? left : most;
}

void compute_features(void* context, int index) {
  Engine& e = *static_cast<Engine*>(context);
  const Model& m = *e.model;
  const Index size = Index(m.height) * m.width * m.channels;
  const auto compute = [&](Index first, int images, Workspace& w, const Member& member) {
    const Batch& b = e.batch;
    e.target->features(m, b.pixels ? b.pixels + first * size : nullptr, b.values ? b.values + first * size : nullptr, images,
                       w, *e.scratches[index], member, e.features + first * m.head.inputs);
  };
  if (e.team > 1) return compute(e.batch.next, 1, *e.workspaces[0], {&e.barrier, index, e.team});
  // Several threads take small groups, so that they end together.
  const Index share = e.count == 1 ? e.batch.end : e.batch.end / (2 * e.count), group = e.workspaces[0]->images;
  const Index most = share < 1 ? 1 : share < group ? share : group;
  for (Index first, images; (images = take_images(e.batch, most, first)) > 0;)
    compute(first, static_cast<int>(images), *e.workspaces[index], {nullptr, 0, 1});
}

void compute_logits(void* context, int index) {
  Engine& e = *static_cast<Engine*>(context);
  e.target->logits(*e.model, e.features, static_cast<int>(e.batch.end), {&e.barrier, index, e.team}, e.logits);
}

bool reserve(Engine& e, Index images) {
  if (images <= e.capacity) return true;
  free(e.features);
  free(e.logits);
  e.capacity = 0;
  e.features = static_cast<float*>(calloc(images * e.model->head.inputs + 64, sizeof(float)));
  e.logits = static_cast<float*>(calloc(images * e.model->head.outputs + 64, sizeof(float)));
  if (!e.features || !e.logits) return false;
  e.capacity = images;
  return true;
}

// End the threads, and free what belongs to them.
void release(Engine& e) {
  stop_threads(e.threads);
  for (int i = 0; i < e.count; i++) {
    if (e.workspaces) free_workspace(e.workspaces[i]);
    if (e.scratches) free_scratch(e.scratches[i]);
  }
  free(e.workspaces);
  free(e.scratches);
  free(e.choices);
  e.threads = nullptr, e.workspaces = nullptr, e.scratches = nullptr, e.choices = nullptr, e.count = 0;
}

bool start(Engine& e) {
  e.threads = start_threads(e.wanted);
  if (e.threads == nullptr) return false;
  e.count = count_threads(e.threads);
  e.workspaces = static_cast<Workspace**>(calloc(e.count, sizeof(Workspace*)));
  e.scratches = static_cast<Scratch**>(calloc(e.count, sizeof(Scratch*)));
  e.choices = static_cast<TeamChoice*>(calloc(e.count, sizeof(TeamChoice)));
  for (int i = 0; e.choices && i < e.count; i++) e.choices[i] = TeamChoice();
  return e.workspaces && e.scratches && e.choices;
}

bool prepare(Engine& e) {
  if (!e.is_prepared && !(e.is_prepared = start(e))) release(e);
  return e.is_prepared;
}

// Memory of the threads that compute: scratches of all, and workspaces of those with images of their own.
bool allocate(Engine& e, int workspaces, int scratches) {
  for (int i = 0; i < workspaces; i++)
    if (!e.workspaces[i] && !(e.workspaces[i] = new_workspace(*e.model, group_size(*e.model)))) return false;
  for (int i = 0; i < scratches; i++)
    if (!e.scratches[i] && !(e.scratches[i] = new_scratch(*e.model))) return false;
  return true;
}

// Features of `images` images, one after the other by a team, or all at once: of fewer images than threads each by one
// thread, of more by all threads, each of which takes the next few.
bool compute_all_features(Engine& e, int images) {
  TeamChoice* choice = images < e.count ? &e.choices[images] : nullptr;
  const bool is_team = choice && choice->is_team();
  const int threads = choice && !is_team ? images : e.count, together = is_team ? 1 : images;
  if (!allocate(e, is_team ? 1 : threads, threads)) return false;
  e.team = is_team ? e.count : 1;
  const double start = now();
  for (int first = 0; first < images; first += together) {
    e.batch.next = first, e.batch.end = first + together;
    run(e.threads, threads, compute_features, &e);
  }
  if (choice) choice->record(now() - start);
  return true;
}

// Logits of at most MAX_IMAGES images for each thread.
bool compute_part(Engine& e, const uint8_t* pixels, const float* values, int images, float* out) {
  e.batch = {pixels, values, 0, 0};
  if (!reserve(e, images) || !compute_all_features(e, images)) return false;
  e.team = images < e.count ? 1 : e.count;  // of a few images, the head is too small to share
  run(e.threads, e.team, compute_logits, &e);
  for (Index i = 0; i < images; i++)
    memcpy(out + i * e.model->labels, e.logits + i * e.model->head.outputs, e.model->labels * sizeof(float));
  return true;
}

int compute(Engine* e, const uint8_t* pixels, const float* values, Index images, float* out) {
  if (e == nullptr || images <= 0) return e == nullptr || images < 0;
  const Model& m = *e->model;
  const Index size = Index(m.height) * m.width * m.channels;
  pthread_mutex_lock(&e->mutex);
  bool is_complete = prepare(*e);
  for (Index first = 0, most = MAX_IMAGES * e->count; is_complete && first < images; first += most) {
    const Index part = images - first < most ? images - first : most;
    is_complete = compute_part(*e, pixels ? pixels + first * size : nullptr, values ? values + first * size : nullptr,
                               static_cast<int>(part), out + first * m.labels);
  }
  pthread_mutex_unlock(&e->mutex);
  return is_complete ? 0 : 1;
}

const Target* find_target(const char* name) {
  for (int i = 0; i < TARGET_COUNT; i++)
    if (!strcmp(TARGETS[i]->name, name) && is_supported(*TARGETS[i])) return TARGETS[i];
  return nullptr;
}

void close(Engine* e) {
  if (e == nullptr) return;
  release(*e);
  free(e->features);
  free(e->logits);
  free_model(e->model);
  pthread_mutex_destroy(&e->mutex);
  free(e);
}

}  // namespace
}  // namespace levit

using levit::Engine;

Engine* levit_open(const uint8_t* file, uint64_t size, int threads, const char* target, const char** error) {
  *error = "out of memory";
  Engine* e = static_cast<Engine*>(calloc(1, sizeof(Engine)));
  if (e == nullptr) return nullptr;
  pthread_mutex_init(&e->mutex, nullptr);
  e->target = levit::find_target(target);
  if (e->target == nullptr) {
    *error = "this processor lacks the instruction set";
  } else if ((e->model = levit::read_model(file, size, error)) != nullptr) {
    e->wanted = threads < 1 ? 1 : threads > 1024 ? 1024 : threads;
    return e;
  }
  levit::close(e);
  return nullptr;
}

int levit_run_pixels(Engine* e, const uint8_t* pixels, int64_t images, float* logits) {
  return levit::compute(e, pixels, nullptr, images, logits);
}

int levit_run_values(Engine* e, const float* values, int64_t images, float* logits) {
  return levit::compute(e, nullptr, values, images, logits);
}

void levit_close(Engine* e) { levit::close(e); }

void levit_sizes(const Engine* e, int32_t* sizes) {
  const levit::Model& m = *e->model;
  sizes[0] = m.channels, sizes[1] = m.height, sizes[2] = m.width, sizes[3] = m.labels;
}

const char* levit_supported(int n) {
  for (int i = 0; i < levit::TARGET_COUNT; i++)
    if (levit::is_supported(*levit::TARGETS[i]) && n-- == 0) return levit::TARGETS[i]->name;
  return nullptr;
}

uint32_t levit_format() { return levit::file::VERSION; }
