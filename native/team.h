// Threads that compute together: a team on one image, or each thread on images of its own.
#pragma once
#include <cstdint>

namespace levit {

// Barrier of a few threads, which yield while they wait, because another process may have the core of the last one.
class Barrier {
 public:
  void wait(int count);

 private:
  int arrived_ = 0;
  unsigned phase_ = 0;  // it may wrap
};

// One thread of a team. Every thread of the team computes a part of each operation.
struct Member {
  Barrier* barrier;
  int index, count;
  void wait() const {
    if (count > 1) barrier->wait(count);
  }
  int begin(int total) const { return static_cast<int>(int64_t(total) * index / count); }
  int end(int total) const { return static_cast<int>(int64_t(total) * (index + 1) / count); }
};

// Threads that wait for work. The thread that calls `run` is one of them, with index 0.
class Threads;
typedef void (*Work)(void* context, int index);
Threads* start_threads(int count);  // nullptr without memory; fewer than `count` where no more can be started
int count_threads(const Threads* threads);  // with the caller
void run(Threads* threads, int count, Work work, void* context);
void stop_threads(Threads* threads);

}  // namespace levit
