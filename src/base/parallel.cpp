// The pool: workers spin for a short while (a training step has thousands of small regions), then sleep.
// Each thread begins with its own contiguous share of a region's tasks and then takes from the ends of the others'. So
// a thread mostly reads the rows that it wrote in the previous region, from its own caches; otherwise, cache lines
// would move between cores.
#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace moebius {

namespace {

constexpr int kSpinsBeforeSleep = 20000;  // about a millisecond
constexpr int kSpinsBeforeYield = 2000;
constexpr i64 kTasksMax = i64{1} << 32;

thread_local bool inside_task = false;

// While it lives, this thread is inside a task.
struct InsideTask {
  const bool outer = std::exchange(inside_task, true);
  ~InsideTask() { inside_task = outer; }
};

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// The tasks [begin, end) that are left of a thread's share. Both ends in one word: the owner takes from the front,
// others from the back.
class alignas(128) Share {
 public:
  void set(i64 begin, i64 end) { word_.store(pack(begin, end), std::memory_order_relaxed); }

  // The next task, -1 where none is left.
  i64 take_first() {
    return take([](i64 begin, i64 end) { return std::pair(begin, pack(begin + 1, end)); });
  }
  i64 take_last() {
    return take([](i64 begin, i64 end) { return std::pair(end - 1, pack(begin, end - 1)); });
  }

 private:
  static u64 pack(i64 begin, i64 end) { return static_cast<u64>(begin) << 32 | static_cast<u64>(end); }

  template <typename Choose>
  i64 take(Choose choose) {
    u64 word = word_.load(std::memory_order_relaxed);
    for (;;) {
      const i64 begin = static_cast<i64>(word >> 32), end = static_cast<i64>(word & 0xffffffffu);
      if (begin >= end) return -1;
      const auto [task, rest] = choose(begin, end);
      if (word_.compare_exchange_weak(word, rest, std::memory_order_relaxed)) return task;
    }
  }

  std::atomic<u64> word_{0};
};

class Pool {
 public:
  ~Pool() { stop(); }

  void start(int num_threads) {
    stop();
    stopping_.store(false);
    const u64 epoch = epoch_.load();
    shares_ = std::make_unique<Share[]>(static_cast<std::size_t>(num_threads));
    for (int i = 1; i < num_threads; ++i) workers_.emplace_back([this, i, epoch] { worker(i, epoch); });
    num_threads_ = num_threads;
  }

  int num_threads() const { return num_threads_; }

  void run(i64 num_tasks, TaskRef task) {
    if (num_tasks <= 0) return;
    if (inside_task || num_threads_ == 1 || num_tasks == 1) {
      run_in_place(num_tasks, task);
      return;
    }
    CHECK(num_tasks < kTasksMax, "more tasks than the counter holds");
    task_ = &task;
    share_out(num_tasks);
    open_.store(true);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    work(0);
    open_.store(false);
    wait_for_entered();
    task_ = nullptr;
    if (error_) {
      std::exception_ptr error;
      std::swap(error, error_);
      std::rethrow_exception(error);
    }
  }

 private:
  void run_in_place(i64 num_tasks, TaskRef task) {
    const InsideTask inside;
    for (i64 i = 0; i < num_tasks; ++i) task(i, current_thread_);
  }

  // Waits only for the workers that entered this region: on a shared machine, a worker may be descheduled for
  // milliseconds while all tasks are done.
  void wait_for_entered() {
    for (int spin = 0; entered_.load() != 0; ++spin) {
      cpu_relax();
      if (spin >= kSpinsBeforeYield) ::sched_yield();
    }
  }

  void work(int thread) {
    const InsideTask inside;
    current_thread_ = thread;
    for (i64 i; (i = shares_[thread].take_first()) >= 0;) run_task(i, thread);
    for (int next = 1; next < num_threads_; ++next) {
      Share& other = shares_[(thread + next) % num_threads_];
      for (i64 i; (i = other.take_last()) >= 0;) run_task(i, thread);
    }
    current_thread_ = 0;
  }

  void run_task(i64 i, int thread) {
    try {
      (*task_)(i, thread);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      share_out(0);
    }
  }

  void share_out(i64 num_tasks) {
    const i64 each = (num_tasks + num_threads_ - 1) / num_threads_;
    for (int t = 0; t < num_threads_; ++t)
      shares_[t].set(std::min(num_tasks, t * each), std::min(num_tasks, (t + 1) * each));
  }

  void worker(int thread, u64 seen) {
    for (;;) {
      seen = wait_for_epoch(seen);
      if (stopping_.load(std::memory_order_acquire)) return;
      // Sequentially consistent: either this worker sees the region closed, or run() sees that it has entered. A worker
      // that comes late may find the next region open; its fields were written before it was opened.
      entered_.fetch_add(1);
      if (open_.load()) work(thread);
      entered_.fetch_sub(1);
    }
  }

  u64 wait_for_epoch(u64 seen) {
    for (int spin = 0; spin < kSpinsBeforeSleep; ++spin) {
      const u64 now = epoch_.load(std::memory_order_acquire);
      if (now != seen) return now;
      cpu_relax();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    wake_.wait(lock, [&] { return epoch_.load(std::memory_order_acquire) != seen; });
    return epoch_.load(std::memory_order_acquire);
  }

  void stop() {
    if (workers_.empty()) return;
    stopping_.store(true, std::memory_order_release);
    {
      std::lock_guard<std::mutex> lock(mutex_);
      epoch_.fetch_add(1, std::memory_order_release);
    }
    wake_.notify_all();
    for (auto& worker : workers_) worker.join();
    workers_.clear();
    num_threads_ = 1;
  }

  static thread_local int current_thread_;
  std::vector<std::thread> workers_;
  int num_threads_ = 1;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<u64> epoch_{0};
  std::unique_ptr<Share[]> shares_;  // one a thread
  std::atomic<int> entered_{0};      // workers inside work()
  std::atomic<bool> open_{false};
  std::atomic<bool> stopping_{false};
  const TaskRef* task_ = nullptr;
  std::exception_ptr error_;
};

thread_local int Pool::current_thread_ = 0;

Pool& pool() {
  static Pool instance;
  static const bool started = [] {
    instance.start(parallel_cores_available());
    return true;
  }();
  (void)started;
  return instance;
}

}  // namespace

int parallel_cores_available() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int count = CPU_COUNT(&set);
  return count < 1 ? 1 : count;
}

void parallel_set_threads(int num_threads) {
  CHECK(!inside_task, "the number of threads cannot change inside a task");
  pool().start(num_threads <= 0 ? parallel_cores_available() : num_threads);
}

int parallel_threads() { return pool().num_threads(); }

void parallel_for(i64 num_tasks, TaskRef task) { pool().run(num_tasks, task); }

}  // namespace moebius
