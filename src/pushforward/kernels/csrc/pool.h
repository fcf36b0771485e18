// Threads that sleep while there is nothing to do, and share work in small pieces: one that loses its processor to
// another process delays its own piece only.
#pragma once
#include <cstdint>
#include <functional>

namespace pushforward {

// Calls work(begin, end) on pieces of [0, count), with at most `threads` threads, this one among them.
void parallel(int64_t count, int64_t piece, int threads, const std::function<void(int64_t, int64_t)>& work);

}  // namespace pushforward
