#include "pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace pushforward {
namespace {

struct Job {
  const std::function<void(int64_t, int64_t)>* work;
  int64_t count, piece;
  std::atomic<int64_t> next{0};
  int places;       // threads that may still join
  int members = 0;  // threads that have joined and not yet left

  void run() {
    for (int64_t begin; (begin = next.fetch_add(piece)) < count;) (*work)(begin, std::min(begin + piece, count));
  }
};

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while ((int)threads_ < job.places) {
        try {
          std::thread([this] { serve(); }).detach();
        } catch (...) {  // no more threads: those that there are do the work
          break;
        }
        ++threads_;
      }
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    job.run();
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), &job), jobs_.end());
    left_.wait(lock, [&] { return job.members == 0; });
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] {
        for (Job* each : jobs_)
          if (each->places > 0 && each->next.load() < each->count) return (job = each) != nullptr;
        return false;
      });
      --job->places;
      ++job->members;
      lock.unlock();
      job->run();
      lock.lock();
      if (--job->members == 0) left_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, left_;
  std::vector<Job*> jobs_;
  size_t threads_ = 0;
};

// Never destroyed: its threads wait on it until the process ends. A forked child has none of them and makes a new one.
std::atomic<Pool*> pool{nullptr};

Pool& own_pool() {
  Pool* made = pool.load();
  if (made == nullptr) {
    Pool* fresh = new Pool;
    if (pool.compare_exchange_strong(made, fresh)) {
      made = fresh;
#if !defined(_WIN32)
      static const int once = pthread_atfork(nullptr, nullptr, [] { pool.store(nullptr); });
      (void)once;
#endif
    } else {
      delete fresh;
    }
  }
  return *made;
}

}  // namespace

void parallel(int64_t count, int64_t piece, int threads, const std::function<void(int64_t, int64_t)>& work) {
  const int64_t pieces = (count + piece - 1) / piece;
  const int helpers = int(std::min<int64_t>(threads, pieces)) - 1;
  if (helpers < 1) {
    if (count > 0) work(0, count);
    return;
  }
  Job job;
  job.work = &work;
  job.count = count;
  job.piece = piece;
  job.places = helpers;
  own_pool().run(job);
}

}  // namespace pushforward
