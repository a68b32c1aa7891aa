#include "team.h"

#include <cstdlib>
#include <new>

#include "platform.h"

namespace levit {
namespace {

constexpr int SPINS = 64, SPINS_FOR_WORK = 2000;

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace

void Barrier::wait(int count) {
  const unsigned phase = __atomic_load_n(&phase_, __ATOMIC_RELAXED);
  if (__atomic_fetch_add(&arrived_, 1, __ATOMIC_ACQ_REL) == count - 1) {
    __atomic_store_n(&arrived_, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&phase_, phase + 1, __ATOMIC_RELEASE);
    return;
  }
  for (int spin = 0; __atomic_load_n(&phase_, __ATOMIC_ACQUIRE) == phase; spin++) spin < SPINS ? pause_briefly() : (void)sched_yield();
}

class Threads {
 public:
  int count = 1;  // with the caller
  pthread_t* handles = nullptr;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
  Work work = nullptr;
  void* context = nullptr;
  int used = 0, running = 0, sleeping = 0;
  unsigned job = 0;  // it may wrap
  bool stopping = false;

  void serve(int index) {
    bool is_used = true;  // by the last job; threads that are not used would spin beside it
    for (unsigned seen = 0;;) {
      for (int spins = is_used ? SPINS_FOR_WORK : 0; spins && __atomic_load_n(&job, __ATOMIC_ACQUIRE) == seen; spins--) pause_briefly();
      pthread_mutex_lock(&mutex);
      sleeping++;
      while (job == seen) pthread_cond_wait(&changed, &mutex);
      sleeping--;
      seen = job;
      is_used = index < used;
      pthread_mutex_unlock(&mutex);
      if (__atomic_load_n(&stopping, __ATOMIC_ACQUIRE)) return;
      if (!is_used) continue;
      work(context, index);
      __atomic_fetch_sub(&running, 1, __ATOMIC_ACQ_REL);
    }
  }

  void announce(int members) {
    pthread_mutex_lock(&mutex);
    used = members;
    __atomic_store_n(&running, members - 1, __ATOMIC_RELAXED);
    __atomic_store_n(&job, job + 1, __ATOMIC_RELEASE);
    if (sleeping) pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
  }
};

namespace {

struct Start {
  Threads* threads;
  int index;
};

void* serve(void* argument) {
  const Start start = *static_cast<Start*>(argument);
  free(argument);
  start.threads->serve(start.index);
  return nullptr;
}

}  // namespace

Threads* start_threads(int count) {
  void* memory = calloc(1, sizeof(Threads));
  if (memory == nullptr) return nullptr;
  Threads* threads = ::new (memory) Threads();
  threads->handles = static_cast<pthread_t*>(calloc(count, sizeof(pthread_t)));
  for (int index = 1; threads->handles != nullptr && index < count; index++) {
    Start* start = static_cast<Start*>(malloc(sizeof(Start)));
    if (start == nullptr) break;
    *start = {threads, index};
    if (pthread_create(&threads->handles[index], nullptr, serve, start)) {  // fewer threads are slower, and no error
      free(start);
      break;
    }
    threads->count++;
  }
  return threads;
}

int count_threads(const Threads* threads) { return threads->count; }

void run(Threads* threads, int count, Work work, void* context) {
  if (count <= 1) return work(context, 0);
  threads->work = work;
  threads->context = context;
  threads->announce(count);
  work(context, 0);
  for (int spin = 0; __atomic_load_n(&threads->running, __ATOMIC_ACQUIRE); spin++) spin < SPINS ? pause_briefly() : (void)sched_yield();
}

void stop_threads(Threads* threads) {
  if (threads == nullptr) return;
  __atomic_store_n(&threads->stopping, true, __ATOMIC_RELEASE);
  threads->announce(threads->count);
  for (int index = 1; index < threads->count; index++) pthread_join(threads->handles[index], nullptr);
  pthread_cond_destroy(&threads->changed);
  pthread_mutex_destroy(&threads->mutex);
  free(threads->handles);
  free(threads);
}

}  // namespace levit
