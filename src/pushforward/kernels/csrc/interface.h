// The plain C interface of the library, and what the kernels of one set of instructions offer.
#pragma once
#include <cstdint>

#include "mixture_interface.h"

extern "C" {

// A rational-quadratic spline. slopes: number of raw slopes at knots, K - 1 (the outer ones are 1), K (a circle) or
// K + 1. offset: log(exp(1 - min_slope) - 1). tails: 0 the identity outside [-high, high]; 1 none, and outside the
// interval the log-slope is -inf; 2 none, the input lies in the interval.
struct pushforward_spline_options {
  int64_t bins, slopes, tails;
  double low, high, min_width, min_height, min_slope, offset;
};

// Arrays of `count` elements; parameter p of element i lies at p * step + i.
struct pushforward_spline_arrays {
  const void *values, *params, *grad_out, *grad_log_slope;
  void *out, *log_slope, *grad_params;
  int64_t count, step;
};

// One dense layer. weight: (outputs, inputs), and bias: (outputs), contiguous. skip: the layer before is as wide and is
// added to the result. inputs_kept: (inputs, kept_rows), the inputs of the layer after their activation; null where no
// gradient is wanted. grad_weight and grad_bias: null where only that by x is wanted. reach: for each output the number of
// its inputs, all further weights are 0; it does not decrease. order: the outputs in the order of reach, of the last layer
// alone. Both may be null: all inputs, and the order as it is. Kernels get the weight and the bias in this order already.
struct pushforward_layer {
  const void *weight, *bias;
  const int64_t *order, *reach;
  void *inputs_kept, *grad_weight, *grad_bias;
  int64_t outputs, inputs, skip;
};

// A net of dense layers with a ReLU between them. Input u of row r lies at u * unit_step + r * row_step, and is clamped
// to [-limit, limit]; so does the gradient by output u of row r, with steps of its own. places: for each input, the
// number that stands for u in this; null where it is its own number. out: (outputs of the last layer, rows). grad_x: (inputs, rows), or null. by_weights: whether gradients by weights and biases are wanted. kept_rows: the
// rows, rounded up to a multiple of 16.
struct pushforward_net {
  const void *x, *grad_out;
  void *out, *grad_x;
  int64_t unit_step, row_step, grad_unit_step, grad_row_step, rows, kept_rows, layers, by_weights;
  double limit;
  const int64_t* places;
};

// A map of each element. kind: 0 is x exp(s) + t, 1 is (x + t) exp(s), both with the params t and raw; 2 is a spline.
// scale: s is 0 raw / (1 + |raw| / limit), 1 limit tanh(raw), 2 log sigmoid(raw + 2).
struct pushforward_map {
  int64_t kind, scale;
  double limit;
  const pushforward_spline_options* spline;
};

// Rows (rows, features) some of whose coordinates change by a map whose params are the outputs of a net: output p *
// changed_count + k is param p of the coordinate at changed[k]. Coordinate i of row r lies at i * unit_step + r *
// row_step. out: (rows, features), and log_term: (rows), contiguous. inverse: whether the inverse of the map is wanted.
// params: (outputs, kept_rows), the params of the map, kept for the gradients; null where none is wanted. The gradients
// by the results are grad_out: (rows, features) and grad_log_term: (rows), those by values and by the limit of the
// log-scale are grad_values: (rows, features) and grad_limit: (1), null where it is not wanted; grad_params is for
// those by params. add_inputs: whether the inputs of the net are coordinates of these rows, so that grad_values has
// the gradients by them as well.
struct pushforward_conditioned {
  const void* values;
  void *out, *log_term;
  int64_t unit_step, row_step, features;
  const int64_t* changed;
  int64_t changed_count, inverse;
  void* params;
  const void *grad_out, *grad_log_term;
  void *grad_values, *grad_params, *grad_limit;
  int64_t add_inputs;
};

// The order in which an autoregressive net computes. order: the coordinates stage after stage, of which stage d has
// those from sizes[d] to sizes[d + 1]. known: (layers but the last, stages), the units that need only the coordinates
// before each stage; they come first.
struct pushforward_stages {
  const int64_t *order, *sizes, *known;
  int64_t count;
};

}

namespace pushforward {

using Options = pushforward_spline_options;
using Arrays = pushforward_spline_arrays;
using Run = void (*)(const Options&, const Arrays&, int64_t begin, int64_t end);
using Layer = pushforward_layer;
using Net = pushforward_net;
using Map = pushforward_map;
using Conditioned = pushforward_conditioned;
using Stages = pushforward_stages;
using RunNet = void (*)(const Net&, const Layer*, int64_t begin, int64_t end);
using RunConditioned = void (*)(const Net&, const Layer*, const Map&, const Conditioned&, int64_t begin, int64_t end);
// Gradients by the values and the params of rows begin to end; grad_limit: the sum over these rows.
using RunGradients = void (*)(const Net&, const Map&, const Conditioned&, int64_t begin, int64_t end, void* grad_limit);
using RunStages = void (*)(const Net&, const Layer*, const Map&, const Conditioned&, const Stages&, int64_t begin,
                           int64_t end);

// The first index is 1 for double precision.
struct Kernels {
  Run values[2][2], gradients[2][2];  // [..][inverse]
  RunNet net[2];
  // For rows begin to end; gradients by weights are those of these rows alone.
  RunNet net_gradients[2];
  int64_t rows_at_once[2];
  RunConditioned conditioned[2];
  RunGradients map_gradients[2];
  RunStages staged[2];
  MixtureKernels mixtures;
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif

}  // namespace pushforward
