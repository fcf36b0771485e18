// The exported functions: they choose the set of instructions and share the elements among threads.
#include <algorithm>
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

// Multiply-adds of one piece of work of a net: about 10 microseconds on one processor.
constexpr int64_t kProducts = 500'000;

// The rows of a piece: a multiple of those that go through the net at once.
int64_t rows_of_piece(const Layer* layers, int64_t count, int64_t at_once) {
  int64_t products = 1;
  for (int64_t i = 0; i < count; ++i) products += layers[i].inputs * layers[i].outputs;
  return std::max<int64_t>(1, kProducts / products / at_once) * at_once;
}

}  // namespace
}  // namespace pushforward

EXPORT const char* pushforward_instructions() { return pushforward::choice().name; }

EXPORT int64_t pushforward_interface() { return 3; }

EXPORT void pushforward_spline(const pushforward_spline_options* options, const pushforward_spline_arrays* arrays,
                               int is_double, int inverse, int threads) {
  pushforward::run(pushforward::choice().kernels->values[is_double][inverse], *options, *arrays, threads);
}

EXPORT void pushforward_spline_gradients(const pushforward_spline_options* options, const pushforward_spline_arrays* arrays,
                                         int is_double, int inverse, int threads) {
  pushforward::run(pushforward::choice().kernels->gradients[is_double][inverse], *options, *arrays, threads);
}

EXPORT void pushforward_net_values(const pushforward_net* net, const pushforward_layer* layers, int is_double, int threads) {
  using namespace pushforward;
  const Kernels& kernels = *choice().kernels;
  const int64_t piece = rows_of_piece(layers, net->layers, kernels.rows_at_once[is_double]);
  parallel(net->rows, piece, threads,
           [&](int64_t begin, int64_t end) { kernels.net[is_double](*net, layers, begin, end); });
}

EXPORT void pushforward_net_gradients(const pushforward_net* net, const pushforward_layer* layers, int is_double,
                                      int threads) {
  using namespace pushforward;
  const Kernels& kernels = *choice().kernels;
  const int64_t piece = rows_of_piece(layers, net->layers, kernels.rows_at_once[is_double]);
  parallel(net->rows, piece, threads,
           [&](int64_t begin, int64_t end) { kernels.net_gradients[is_double](*net, layers, begin, end); });
  if (!net->by_weights) return;
  int64_t outputs = 0;
  for (int64_t i = 0; i < net->layers; ++i) outputs += (layers[i].outputs + kTile - 1) / kTile * kTile;
  parallel(outputs, kTile, net->rows * 64 < kProducts / 64 ? 1 : threads,
           [&](int64_t begin, int64_t end) { kernels.weight_gradients[is_double](*net, layers, begin, end); });
}
