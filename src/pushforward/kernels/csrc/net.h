// Nets of dense layers with a ReLU between them: a few rows go through all layers while they are in the cache.
//
// Vectors hold one unit of several rows. Each unit of each row is one chain of multiply-adds, in the same order
// whatever the other rows and the number of threads are.
#pragma once
#include <algorithm>
#include <memory>
#include <type_traits>

#include "interface.h"
#include "simd.h"

namespace pushforward {
namespace {

// A tile of a product is kUnits units by kVectors vectors of rows, as many as the registers hold.
constexpr int kUnits = WIDTH == 64 ? 8 : 4, kVectors = 3;
// Rows whose gradients by the results of all layers are in the cache together, for the gradients by weights. Fewer rows
// make more sums of the lanes of vectors.
constexpr int64_t kBlock = 480;

template <class T> constexpr int64_t rows_at_once() { return kVectors * Vector<T>::lanes; }

// Memory of one thread, aligned for vectors.
template <class T> class Scratch {
 public:
  T* take(int64_t count) {
    const int64_t wanted = count + WIDTH / sizeof(T);
    if (wanted > size_) {
      memory_.reset(new T[wanted]);
      size_ = wanted;
    }
    const auto address = reinterpret_cast<uintptr_t>(memory_.get());
    return reinterpret_cast<T*>((address + WIDTH - 1) / WIDTH * WIDTH);
  }

 private:
  std::unique_ptr<T[]> memory_;
  int64_t size_ = 0;
};

template <class T> INLINE T* scratch(int64_t count) {
  static thread_local Scratch<T> made;
  return made.take(count);
}

// The output of a layer at a place of the order in which they are computed, and the number of its inputs.
INLINE int64_t output_at(const Layer& layer, int64_t place) { return layer.order ? layer.order[place] : place; }
INLINE int64_t reach_at(const Layer& layer, int64_t place) { return layer.reach ? layer.reach[place] : layer.inputs; }

// sums[m][j] += sum over k of a[m * unit_step + k * step] * b[k][j]: `units` units of `vectors` vectors of rows.
template <class T, int units, int vectors>
INLINE void product(const T* a, int64_t unit_step, int64_t step, const T* b, int64_t count,
                    V<T> (&sums)[units][vectors]) {
  constexpr int lanes = Vector<T>::lanes;
  for (int64_t k = 0; k < count; ++k) {
    V<T> rows[vectors];
#pragma GCC unroll 4
    for (int j = 0; j < vectors; ++j) rows[j] = load<T>(b + j * lanes);
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m) {
      const V<T> factor = all<T>(a[m * unit_step]);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sums[m][j] += factor * rows[j];
    }
    a += step;
    b += vectors * lanes;
  }
}

// Results of outputs from `place` on, with weights in the order of places: use(place, sums).
template <class T, int units, int vectors, class Use>
INLINE void result_tiles(const Layer& layer, const T* in, int64_t& place, int64_t end, const Use& use) {
  const T* bias = (const T*)layer.bias;
  for (; place + units <= end; place += units) {
    V<T> sums[units][vectors];
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m)
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sums[m][j] = all<T>(bias[place + m]);
    product<T, units, vectors>((const T*)layer.weight + place * layer.inputs, layer.inputs, 1, in,
                               reach_at(layer, place + units - 1), sums);
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m) use(place + m, sums[m]);
  }
}

template <class T, int vectors, class Use>
INLINE void results_of(const Layer& layer, const T* in, int64_t place, int64_t end, const Use& use) {
  result_tiles<T, kUnits, vectors>(layer, in, place, end, use);
  result_tiles<T, 2, vectors>(layer, in, place, end, use);
  result_tiles<T, 1, vectors>(layer, in, place, end, use);
}

// Gradients by inputs from `input` on, given those by the results in the order of places: use(input, sums).
template <class T, int units, int vectors, class Use>
INLINE void input_tiles(const Layer& layer, const T* by_result, int64_t& input, const Use& use) {
  for (; input + units <= layer.inputs; input += units) {
    int64_t begin = 0;  // places before have none of these inputs
    while (layer.reach && begin < layer.outputs && layer.reach[begin] <= input) ++begin;
    V<T> sums[units][vectors];
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m)
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) sums[m][j] = V<T>{};
    product<T, units, vectors>((const T*)layer.weight + begin * layer.inputs + input, 1, layer.inputs,
                               by_result + begin * vectors * Vector<T>::lanes, layer.outputs - begin, sums);
#pragma GCC unroll 16
    for (int m = 0; m < units; ++m) use(input + m, sums[m]);
  }
}

template <class T, int vectors, class Use>
INLINE void gradients_of_inputs(const Layer& layer, const T* by_result, const Use& use) {
  int64_t input = 0;
  input_tiles<T, kUnits, vectors>(layer, by_result, input, use);
  input_tiles<T, 2, vectors>(layer, by_result, input, use);
  input_tiles<T, 1, vectors>(layer, by_result, input, use);
}

// One unit of `n` rows to an array of all rows, which ends with the last row.
template <class T, int vectors> INLINE void put_rows(T* to, const V<T> (&values)[vectors], int64_t n) {
  constexpr int lanes = Vector<T>::lanes;
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) {
    if (n >= (j + 1) * lanes) store<T>(to + j * lanes, values[j]);
    else if (n > j * lanes) store_some<T>(to + j * lanes, values[j], int(n - j * lanes));
  }
}

// One unit of the rows at once to or from memory that has room for whole vectors.
template <class T, int vectors> INLINE void store_rows(T* to, const V<T> (&values)[vectors]) {
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) store<T>(to + j * Vector<T>::lanes, values[j]);
}
template <class T, int vectors> INLINE void load_rows(const T* from, V<T> (&values)[vectors]) {
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) values[j] = load<T>(from + j * Vector<T>::lanes);
}

// `n` rows of one unit from an array with any step, followed by zeros.
template <class T, int vectors> INLINE void gather_rows(const T* from, int64_t step, int64_t n, V<T> (&values)[vectors]) {
  alignas(WIDTH) T rows[vectors * Vector<T>::lanes];
  for (int64_t r = 0; r < vectors * Vector<T>::lanes; ++r) rows[r] = r < n ? from[r * step] : T(0);
  load_rows<T, vectors>(rows, values);
}

template <class T, int vectors> INLINE void clamp(V<T> (&values)[vectors], T limit) {
#pragma GCC unroll 4
  for (int j = 0; j < vectors; ++j) values[j] = minimum<T>(maximum<T>(values[j], all<T>(-limit)), all<T>(limit));
}

INLINE int64_t widest(const Net& net, const Layer* layers) {
  int64_t most = 1;
  for (int64_t i = 0; i < net.layers; ++i) most = std::max({most, layers[i].inputs, layers[i].outputs});
  return most;
}

// The outputs of `n` rows: use(output, values) for each.
template <class T, int vectors, class Use>
static void forward_rows(const Net& net, const Layer* layers, int64_t widest, T* memory, int64_t first, int64_t n,
                         const Use& use) {
  constexpr int lanes = Vector<T>::lanes;
  constexpr int64_t width = vectors * lanes;
  T *in = memory, *out = memory + widest * width, *sums_before = memory + 2 * widest * width;
  const T limit = T(net.limit);
  const int64_t inputs = layers[0].inputs;
  for (int64_t u = 0; u < inputs; ++u) {
    V<T> values[vectors];
    const int64_t place = net.places ? net.places[u] : u;
    gather_rows<T, vectors>((const T*)net.x + place * net.unit_step + first * net.row_step, net.row_step, n, values);
    clamp<T, vectors>(values, limit);
    store_rows<T, vectors>(in + u * width, values);
    if (layers[0].inputs_kept) store_rows<T, vectors>((T*)layers[0].inputs_kept + u * net.kept_rows + first, values);
  }
  for (int64_t i = 0; i < net.layers; ++i) {
    const Layer& layer = layers[i];
    if (i + 1 == net.layers) {
      const int64_t* order = layer.order;
      results_of<T, vectors>(layer, in, 0, layer.outputs, [&](int64_t place, V<T> (&values)[vectors])
                                                              __attribute__((always_inline)) { use(order[place], values); });
      return;
    }
    const bool later_skip = layers[i + 1].skip;
    T* kept = layers[i + 1].inputs_kept ? (T*)layers[i + 1].inputs_kept + first : nullptr;
    results_of<T, vectors>(layer, in, 0, layer.outputs, [&](int64_t u, V<T> (&values)[vectors]) __attribute__((always_inline)) {
      T* sums = sums_before + u * width;
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) {
        if (layer.skip) values[j] += load<T>(sums + j * lanes);
        if (later_skip) store<T>(sums + j * lanes, values[j]);
        values[j] = maximum<T>(values[j], V<T>{});
        store<T>(out + u * width + j * lanes, values[j]);
      }
      if (kept) store_rows<T, vectors>(kept + u * net.kept_rows, values);
    });
    std::swap(in, out);
  }
}

// Gradients by x and by the results of all layers, from that by the result of the last layer. results: those of the block
// that the rows are in from row `first` on, layer by layer, (outputs, kBlock) each; null where they are not wanted.
template <class T, int vectors>
static void backward_rows(const Net& net, const Layer* layers, int64_t widest, T* memory, T* results, int64_t first,
                          int64_t n) {
  constexpr int lanes = Vector<T>::lanes;
  constexpr int64_t width = vectors * lanes;
  T *by_result = memory, *by_input = memory + widest * width;
  const Layer& last = layers[net.layers - 1];
  if (results)
    for (int64_t i = 0; i + 1 < net.layers; ++i) results += layers[i].outputs * kBlock;
  for (int64_t u = 0; u < last.outputs; ++u) {
    V<T> values[vectors];
    const T* from = (const T*)net.grad_out + output_at(last, u) * net.grad_unit_step + first * net.grad_row_step;
    gather_rows<T, vectors>(from, net.grad_row_step, n, values);
    store_rows<T, vectors>(by_result + u * width, values);
    if (results) store_rows<T, vectors>(results + u * kBlock, values);
  }
  const T limit = T(net.limit);
  for (int64_t i = net.layers - 1; i >= 0; --i) {
    const Layer& layer = layers[i];
    if (i == 0 && !net.grad_x) return;
    const T* kept = (const T*)layer.inputs_kept + first;
    if (results && i > 0) results -= layers[i - 1].outputs * kBlock;
    gradients_of_inputs<T, vectors>(layer, by_result, [&](int64_t u, V<T> (&values)[vectors]) __attribute__((always_inline)) {
      V<T> before[vectors];
      load_rows<T, vectors>(kept + u * net.kept_rows, before);
#pragma GCC unroll 4
      for (int j = 0; j < vectors; ++j) {
        const I<T> flat = i == 0 ? (before[j] <= -limit) | (before[j] >= limit) : before[j] <= T(0);
        values[j] = flat ? V<T>{} : values[j];
        if (layer.skip) values[j] += load<T>(by_result + u * width + j * lanes);
      }
      if (i == 0) {
        put_rows<T, vectors>((T*)net.grad_x + u * net.rows + first, values, n);
      } else {
        store_rows<T, vectors>(by_input + u * width, values);
        if (results) store_rows<T, vectors>(results + u * kBlock, values);
      }
    });
    std::swap(by_result, by_input);
  }
}

// use(vectors, first, n) for some rows at a time, until all are done; vectors: as many as hold them.
template <class T, class Use> INLINE void in_rows(int64_t begin, int64_t end, const Use& use) {
  constexpr int64_t lanes = Vector<T>::lanes;
  for (int64_t r = begin; r < end;) {
    const int64_t left = end - r, n = std::min(left, kVectors * lanes);
    if (n > 2 * lanes) use(std::integral_constant<int, 3>{}, r, n);
    else if (n > lanes) use(std::integral_constant<int, 2>{}, r, n);
    else use(std::integral_constant<int, 1>{}, r, n);
    r += n;
  }
}

template <class T> static void net_values(const Net& net, const Layer* layers, int64_t begin, int64_t end) {
  const int64_t most = widest(net, layers);
  T *memory = scratch<T>(3 * most * rows_at_once<T>()), *to = (T*)net.out;
  const int64_t rows = net.rows;
  in_rows<T>(begin, end, [&](auto vectors, int64_t r, int64_t n) {
    forward_rows<T, vectors>(net, layers, most, memory, r, n, [=](int64_t output, V<T> (&values)[vectors])
                                                                  __attribute__((always_inline)) {
      put_rows<T, vectors>(to + output * rows + r, values, n);
    });
  });
}

template <class T, int width> INLINE T total_of(T __attribute__((vector_size(width))) v) {
  if constexpr (width == sizeof(T)) {
    return v[0];
  } else {
    typedef T Half __attribute__((vector_size(width / 2)));
    Half halves[2];
    std::memcpy(halves, &v, width);
    return total_of<T, width / 2>(halves[0] + halves[1]);
  }
}
template <class T> INLINE T total(V<T> v) { return total_of<T, WIDTH>(v); }

// out[o][i] (+)= sum over rows of g[o] * h[i]: `outputs` units of g and `inputs` units of h. The last vector of rows is
// whole: past the last row, g is 0.
template <class T, int outputs, int inputs>
static void outer(const T* g, const T* h, int64_t h_step, int64_t count, T* const (&out)[outputs], int64_t first_input,
                  bool add) {
  V<T> sums[outputs][inputs] = {};
  h += first_input * h_step;
  for (int64_t r = 0; r < count; r += Vector<T>::lanes) {
    V<T> left[outputs];
#pragma GCC unroll 16
    for (int o = 0; o < outputs; ++o) left[o] = load<T>(g + o * kBlock + r);
#pragma GCC unroll 16
    for (int i = 0; i < inputs; ++i) {
      const V<T> right = load<T>(h + i * h_step + r);
#pragma GCC unroll 16
      for (int o = 0; o < outputs; ++o) sums[o][i] += left[o] * right;
    }
  }
#pragma GCC unroll 16
  for (int o = 0; o < outputs; ++o)
#pragma GCC unroll 16
    for (int i = 0; i < inputs; ++i) {
      T& to = out[o][first_input + i];
      to = total<T>(sums[o][i]) + (add ? to : T(0));
    }
}

// Gradients by the weights of the outputs at some places, of `count` rows from `first` on, whose gradients by results are
// given in the order of places.
template <class T, int outputs>
static void outer_rows(const Net& net, const Layer& layer, const T* results, int64_t place, int64_t first, int64_t count,
                       bool add) {
  constexpr int wide = WIDTH == 64 ? 6 : 2;
  const T *g = results + place * kBlock, *h = (const T*)layer.inputs_kept + first;
  T* to[outputs];
  int64_t i = 0, end = 0;
  for (int o = 0; o < outputs; ++o) {
    to[o] = (T*)layer.grad_weight + output_at(layer, place + o) * layer.inputs;
    end = std::max(end, reach_at(layer, place + o));
  }
  for (; i + wide <= end; i += wide) outer<T, outputs, wide>(g, h, net.kept_rows, count, to, i, add);
  for (; i < end; ++i) outer<T, outputs, 1>(g, h, net.kept_rows, count, to, i, add);
  for (int o = 0; o < outputs; ++o) {
    std::fill(to[o] + end, to[o] + layer.inputs, T(0));
    V<T> sum{};
    for (int64_t r = 0; r < count; r += Vector<T>::lanes) sum += load<T>(g + o * kBlock + r);
    T& bias = ((T*)layer.grad_bias)[output_at(layer, place + o)];
    bias = total<T>(sum) + (add ? bias : T(0));
  }
}

template <class T> static void net_gradients(const Net& net, const Layer* layers, int64_t begin, int64_t end) {
  const int64_t most = widest(net, layers);
  int64_t units = 0;
  for (int64_t i = 0; i < net.layers; ++i) units += layers[i].outputs;
  T* memory = scratch<T>(2 * most * rows_at_once<T>() + (net.by_weights ? units * kBlock : 0));
  T* results = net.by_weights ? memory + 2 * most * rows_at_once<T>() : nullptr;
  for (int64_t from = begin; from < end; from += kBlock) {
    const int64_t to = std::min(from + kBlock, end);
    const auto place = [&](int64_t r) { return results ? results + (r - from) : nullptr; };
    in_rows<T>(from, to, [&](auto vectors, int64_t r, int64_t n) {
      backward_rows<T, vectors>(net, layers, most, memory, place(r), r, n);
    });
    if (!results) continue;
    const T* of_layer = results;
    for (int64_t i = 0; i < net.layers; ++i) {
      const Layer& layer = layers[i];
      int64_t o = 0;
      for (; o + 4 <= layer.outputs; o += 4)
        outer_rows<T, 4>(net, layer, of_layer, o, from, to - from, from > begin);
      for (; o < layer.outputs; ++o) outer_rows<T, 1>(net, layer, of_layer, o, from, to - from, from > begin);
      of_layer += layer.outputs * kBlock;
    }
  }
}

}  // namespace
}  // namespace pushforward
