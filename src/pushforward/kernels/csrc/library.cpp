// The exported functions: they choose the set of instructions and share the elements among threads.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

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

// The rows whose gradients by weights are summed together, at least, and the most of such sums.
constexpr int64_t kRowsOfSums = 240, kMostSums = 8;

// The rows of a piece: a multiple of those that go through the net at once.
int64_t rows_of_piece(const Layer* layers, int64_t count, int64_t at_once) {
  int64_t products = 1;
  for (int64_t i = 0; i < count; ++i) products += layers[i].inputs * layers[i].outputs;
  return std::max<int64_t>(1, kProducts / products / at_once) * at_once;
}

// Rows of a piece of the gradients of maps, whose sums do not depend on the number of threads.
constexpr int64_t kRowsOfMap = 256;

// The layers as kernels take them: weight and bias of the last one in the order of its outputs.
struct Ordered {
  std::vector<Layer> layers;
  std::vector<int64_t> identity;
  std::unique_ptr<char[]> memory;

  Ordered(const Layer* given, int64_t count, size_t size) : layers(given, given + count) {
    Layer& last = layers.back();
    if (last.order == nullptr) {  // so that kernels need no branch
      identity.resize(size_t(last.outputs));
      std::iota(identity.begin(), identity.end(), 0);
      last.order = identity.data();
      return;
    }
    const size_t row = size_t(last.inputs) * size;
    memory.reset(new char[size_t(last.outputs) * (row + size)]);
    char *weight = memory.get(), *bias = weight + size_t(last.outputs) * row;
    for (int64_t place = 0; place < last.outputs; ++place) {
      std::memcpy(weight + place * row, (const char*)last.weight + last.order[place] * row, row);
      if (last.bias) std::memcpy(bias + place * size, (const char*)last.bias + last.order[place] * size, size);
    }
    last.weight = weight;
    if (last.bias) last.bias = bias;
  }
};

template <class T> void add(void* to, const void* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) ((T*)to)[i] += ((const T*)from)[i];
}

// Gradients by weights are sums over rows. Each piece of the rows has sums of its own, and these are added in order, so
// that the number of threads does not change the result.
void net_gradients(const Net& net, const Layer* layers, int is_double, int threads) {
  const Kernels& kernels = *choice().kernels;
  const size_t size = is_double ? sizeof(double) : sizeof(float);
  const Ordered ordered(layers, net.layers, size);
  const int64_t pieces = std::clamp<int64_t>(net.rows / kRowsOfSums, 1, kMostSums);
  const int64_t piece = ((net.rows + pieces - 1) / pieces + 15) / 16 * 16;
  std::vector<Layer> own(size_t(pieces * net.layers));
  int64_t total = 0;
  for (int64_t i = 0; i < net.layers; ++i) total += layers[i].outputs * (layers[i].inputs + 1);
  std::unique_ptr<char[]> memory(net.by_weights && pieces > 1 ? new char[size_t((pieces - 1) * total) * size] : nullptr);
  char* next = memory.get();
  for (int64_t p = 0; p < pieces; ++p)
    for (int64_t i = 0; i < net.layers; ++i) {
      Layer& layer = own[size_t(p * net.layers + i)] = ordered.layers[size_t(i)];
      if (p == 0 || !net.by_weights) continue;
      layer.grad_weight = next;
      layer.grad_bias = next + layer.outputs * layer.inputs * size;
      next += layer.outputs * (layer.inputs + 1) * size;
    }
  parallel(net.rows, piece, threads, [&](int64_t begin, int64_t end) {
    for (; begin < end; begin += piece)
      kernels.net_gradients[is_double](net, &own[size_t(begin / piece * net.layers)], begin, std::min(begin + piece, end));
  });
  const auto adds = is_double ? add<double> : add<float>;
  for (int64_t p = 1; net.by_weights && p * piece < net.rows; ++p)
    for (int64_t i = 0; i < net.layers; ++i) {
      const Layer &to = layers[i], &from = own[size_t(p * net.layers + i)];
      adds(to.grad_weight, from.grad_weight, to.outputs * to.inputs);
      adds(to.grad_bias, from.grad_bias, to.outputs);
    }
}

// Gradients of a whole layer: by the params of its map, then by the net, whose inputs are coordinates of the rows.
template <class T>
void conditioned_gradients(const Net& net, const Layer* layers, const Map& map, const Conditioned& rows, int threads) {
  constexpr int is_double = sizeof(T) == sizeof(double);
  const Kernels& kernels = *choice().kernels;
  std::vector<T> by_limit(size_t((net.rows + kRowsOfMap - 1) / kRowsOfMap));
  parallel(net.rows, kRowsOfMap, threads, [&](int64_t begin, int64_t end) {
    for (; begin < end; begin += kRowsOfMap)
      kernels.map_gradients[is_double](net, map, rows, begin, std::min(begin + kRowsOfMap, end),
                                       &by_limit[size_t(begin / kRowsOfMap)]);
  });
  if (rows.grad_limit) *(T*)rows.grad_limit = std::accumulate(by_limit.begin(), by_limit.end(), T(0));
  net_gradients(net, layers, is_double, threads);
  if (!rows.add_inputs) return;
  parallel(net.rows, kRowsOfMap, threads, [&](int64_t begin, int64_t end) {
    for (int64_t u = 0; u < layers[0].inputs; ++u) {
      const T* from = (const T*)net.grad_x + u * net.rows;
      T* to = (T*)rows.grad_values + (net.places ? net.places[u] : u);
      for (int64_t r = begin; r < end; ++r) to[r * rows.features] += from[r];
    }
  });
}

// Elements of one piece of a mixture.
constexpr int64_t kMixturePiece = 1024;

// Elements that share parameters make pieces of their own. Sums of gradients by these are added in the order of the pieces,
// so that the number of threads does not change the result.
void mixture(const RunMixture kernels[2][2], const Mixture& m, int is_double, int threads, bool sums) {
  const bool shared = m.group > 1;
  const RunMixture run = kernels[is_double][shared];
  const int64_t length = shared ? m.group : m.count;
  const int64_t pieces = (length + kMixturePiece - 1) / kMixturePiece, groups = length ? m.count / length : 0;
  const int64_t params = 3 * m.components + (m.affine ? 2 : 0);
  const size_t size = is_double ? sizeof(double) : sizeof(float);
  const std::unique_ptr<char[]> memory(sums && shared ? new char[size_t(groups * pieces * params) * size] : nullptr);
  const auto own = [&](int64_t i) { return memory.get() + (memory ? size_t(i * params) * size : 0); };
  parallel(groups * pieces, 1, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i / pieces * length, from = first + i % pieces * kMixturePiece;
      run(m, from, std::min(from + kMixturePiece, first + length), own(i));
    }
  });
  const auto adds = is_double ? add<double> : add<float>;
  for (int64_t i = 0; memory && i < groups * pieces; ++i)
    for (int64_t p = 0; p < params; ++p) {
      void* to = (char*)m.grad_params + size_t(p * m.step + i / pieces) * size;
      i % pieces ? adds(to, own(i) + p * size, 1) : (void)std::memcpy(to, own(i) + p * size, size);
    }
}

}  // namespace
}  // namespace pushforward

EXPORT const char* pushforward_instructions() { return pushforward::choice().name; }

EXPORT int64_t pushforward_interface() { return 6; }

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
  const Ordered ordered(layers, net->layers, is_double ? sizeof(double) : sizeof(float));
  parallel(net->rows, piece, threads,
           [&](int64_t begin, int64_t end) { kernels.net[is_double](*net, ordered.layers.data(), begin, end); });
}

EXPORT void pushforward_conditioned_values(const pushforward_net* net, const pushforward_layer* layers,
                                           const pushforward_map* map, const pushforward_conditioned* rows, int is_double,
                                           int threads) {
  using namespace pushforward;
  const Kernels& kernels = *choice().kernels;
  const int64_t piece = rows_of_piece(layers, net->layers, kernels.rows_at_once[is_double]);
  const Ordered ordered(layers, net->layers, is_double ? sizeof(double) : sizeof(float));
  parallel(net->rows, piece, threads, [&](int64_t begin, int64_t end) {
    kernels.conditioned[is_double](*net, ordered.layers.data(), *map, *rows, begin, end);
  });
}

EXPORT void pushforward_conditioned_gradients(const pushforward_net* net, const pushforward_layer* layers,
                                              const pushforward_map* map, const pushforward_conditioned* rows,
                                              int is_double, int threads) {
  using namespace pushforward;
  if (is_double) conditioned_gradients<double>(*net, layers, *map, *rows, threads);
  else conditioned_gradients<float>(*net, layers, *map, *rows, threads);
}

EXPORT void pushforward_staged_values(const pushforward_net* net, const pushforward_layer* layers,
                                      const pushforward_map* map, const pushforward_conditioned* rows,
                                      const pushforward_stages* stages, int is_double, int threads) {
  using namespace pushforward;
  const Kernels& kernels = *choice().kernels;
  const int64_t piece = rows_of_piece(layers, net->layers, kernels.rows_at_once[is_double]);
  parallel(net->rows, piece, threads, [&](int64_t begin, int64_t end) {
    kernels.staged[is_double](*net, layers, *map, *rows, *stages, begin, end);
  });
}

EXPORT void pushforward_net_gradients(const pushforward_net* net, const pushforward_layer* layers, int is_double,
                                      int threads) {
  pushforward::net_gradients(*net, layers, is_double, threads);
}

EXPORT void pushforward_mixture_values(const pushforward_mixture* mixture, int is_double, int threads) {
  pushforward::mixture(pushforward::choice().kernels->mixtures.values, *mixture, is_double, threads, false);
}

EXPORT void pushforward_mixture_inverse(const pushforward_mixture* mixture, int is_double, int threads) {
  pushforward::mixture(pushforward::choice().kernels->mixtures.inverse, *mixture, is_double, threads, false);
}

EXPORT void pushforward_mixture_gradients(const pushforward_mixture* mixture, int is_double, int threads) {
  pushforward::mixture(pushforward::choice().kernels->mixtures.gradients, *mixture, is_double, threads, true);
}
