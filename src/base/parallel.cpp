// The pool: workers spin for a short while (a training step has thousands of small regions), then sleep.
#include "base/parallel.h"

#include <sched.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/check.h"

namespace moebius {

namespace {

constexpr int kSpinsBeforeSleep = 20000;  // about a millisecond
constexpr int kSpinsBeforeYield = 2000;

thread_local bool inside_task = false;

inline void cpu_relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

class Pool {
 public:
  ~Pool() { stop(); }

  void start(int num_threads) {
    stop();
    stopping_.store(false);
    const u64 epoch = epoch_.load();
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
    task_ = &task;
    num_tasks_ = num_tasks;
    next_.store(0, std::memory_order_relaxed);
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
    const bool outer = inside_task;
    inside_task = true;
    try {
      for (i64 i = 0; i < num_tasks; ++i) task(i, current_thread_);
    } catch (...) {
      inside_task = outer;
      throw;
    }
    inside_task = outer;
  }

  // Waits for the workers that entered this region, not for those that the system kept from it: on a shared machine a
  // worker may be off its core for milliseconds while the tasks are long done.
  void wait_for_entered() {
    for (int spin = 0; entered_.load() != 0; ++spin) {
      cpu_relax();
      if (spin >= kSpinsBeforeYield) ::sched_yield();
    }
  }

  void work(int thread) {
    inside_task = true;
    current_thread_ = thread;
    for (;;) {
      const i64 i = next_.fetch_add(1, std::memory_order_relaxed);
      if (i >= num_tasks_) break;
      try {
        (*task_)(i, thread);
      } catch (...) {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!error_) error_ = std::current_exception();
        next_.store(num_tasks_, std::memory_order_relaxed);
      }
    }
    current_thread_ = 0;
    inside_task = false;
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
  std::atomic<i64> next_{0};
  std::atomic<int> entered_{0};  // workers inside work()
  std::atomic<bool> open_{false};
  std::atomic<bool> stopping_{false};
  const TaskRef* task_ = nullptr;
  i64 num_tasks_ = 0;
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
