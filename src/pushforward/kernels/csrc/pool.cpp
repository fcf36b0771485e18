#include "pool.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace pushforward {
namespace {

// The pieces of a member: it takes them one by one, and others take what is left when theirs are done. Consecutive calls
// give a thread the same pieces, whose memory is in its cache.
struct Range {
  std::atomic<int64_t> next{0};
  int64_t end = 0;
};

struct Job {
  const std::function<void(int64_t, int64_t)>* work;
  int64_t count, piece;
  std::unique_ptr<Range[]> ranges;
  int all;          // the members that it has room for
  int members = 0;  // helpers that have joined and not yet left
  std::vector<bool> joined;

  Job(int64_t count, int64_t piece, int all, const std::function<void(int64_t, int64_t)>& work)
      : work(&work), count(count), piece(piece), ranges(new Range[size_t(all)]), all(all), joined(size_t(all)) {
    const int64_t pieces = (count + piece - 1) / piece;
    for (int k = 0; k < all; ++k) {
      ranges[size_t(k)].next = pieces * k / all;
      ranges[size_t(k)].end = pieces * (k + 1) / all;
    }
    joined[0] = true;
  }

  bool has_work() const {
    for (int k = 0; k < all; ++k)
      if (ranges[size_t(k)].next.load() < ranges[size_t(k)].end) return true;
    return false;
  }

  void run(int place) {
    for (int k = 0; k < all; ++k) {
      Range& range = ranges[size_t((place + k) % all)];
      for (int64_t i; (i = range.next.fetch_add(1)) < range.end;)
        (*work)(i * piece, std::min((i + 1) * piece, count));
    }
  }
};

class Pool {
 public:
  void run(Job& job) {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      while ((int)threads_ < job.all - 1) {
        try {
          std::thread([this, place = int(threads_) + 1] { serve(place); }).detach();
        } catch (...) {  // no more threads: those that there are do the work
          break;
        }
        ++threads_;
      }
      jobs_.push_back(&job);
    }
    wake_.notify_all();
    job.run(0);
    std::unique_lock<std::mutex> lock(mutex_);
    jobs_.erase(std::remove(jobs_.begin(), jobs_.end(), &job), jobs_.end());
    left_.wait(lock, [&] { return job.members == 0; });
  }

 private:
  // A helper with a place of its own, which it takes in every job that has room for so many.
  void serve(int place) {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      Job* job = nullptr;
      wake_.wait(lock, [&] {
        for (Job* each : jobs_)
          if (place < each->all && !each->joined[size_t(place)] && each->has_work()) return (job = each) != nullptr;
        return false;
      });
      job->joined[size_t(place)] = true;
      ++job->members;
      lock.unlock();
      job->run(place);
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
  Job job(count, piece, helpers + 1, work);
  own_pool().run(job);
}

}  // namespace pushforward
