// The exported functions: they choose the set of instructions and share the elements among threads.
#include <cstdlib>
#include <cstring>

#include "interface.h"
#include "pool.h"

#if defined(_WIN32)
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace pushforward {
namespace {

struct Choice {
  const char* name;
  const Kernels* kernels;
};

Choice choose() {
  // The environment may ask for fewer instructions than the processor has, for tests.
  const char* wanted = std::getenv("PUSHFORWARD_INSTRUCTIONS");
  const auto allows = [&](const char* name) { return wanted == nullptr || std::strcmp(wanted, name) == 0; };
#if defined(__x86_64__)
  __builtin_cpu_init();
  const bool has_avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has_avx512 && allows("avx512")) return {"avx512", &avx512::kernels};
  if (has_avx2 && allows("avx2")) return {"avx2", &avx2::kernels};
#endif
  (void)allows;
  return {"portable", &portable::kernels};
}

const Choice& choice() {
  static const Choice made = choose();
  return made;
}

// Elements of one piece of work: about 20 microseconds, as a thread takes some to wake.
constexpr int64_t kPiece = 4096;

void run(const Run run, const Options& options, const Arrays& arrays, int threads) {
  parallel(arrays.count, kPiece, threads, [&](int64_t begin, int64_t end) { run(options, arrays, begin, end); });
}

}  // namespace
}  // namespace pushforward

EXPORT const char* pushforward_instructions() { return pushforward::choice().name; }

EXPORT int64_t pushforward_interface() { return 2; }

EXPORT void pushforward_spline(const pushforward_spline_options* options, const pushforward_spline_arrays* arrays,
                               int is_double, int inverse, int threads) {
  pushforward::run(pushforward::choice().kernels->values[is_double][inverse], *options, *arrays, threads);
}

EXPORT void pushforward_spline_gradients(const pushforward_spline_options* options, const pushforward_spline_arrays* arrays,
                                         int is_double, int inverse, int threads) {
  pushforward::run(pushforward::choice().kernels->gradients[is_double][inverse], *options, *arrays, threads);
}
