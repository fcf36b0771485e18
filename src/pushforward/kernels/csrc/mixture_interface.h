// The plain C interface of the mixture-of-logistics maps.
#pragma once
#include <cstdint>

extern "C" {

// The logit of sum_k w_k sigmoid(u_k), where w is the softmax of the first `components` parameters. units: 0 for
// u = (x - mean) exp(-s) with s = raw / (1 + |raw| / limit), the parameters being means and then raw; 1 for
// u = rate x + offset with rate = least + softplus(raw + shift), the parameters being raw and then offsets. affine: whether
// two further parameters, raw a and b, make the value exp(a) value + b, with a bounded as s.
// Parameter p of element i lies at p * step + i / group: `group` elements in a row share their parameters. The gradients by
// parameters lie alike. failed: becomes 1 where an inverse finds no root, whose result is then NaN.
struct pushforward_mixture {
  const void *values, *params, *grad_out, *grad_log_slope;
  void *out, *log_slope, *grad_params;
  int64_t* failed;
  int64_t count, step, group, components, units, affine;
  double limit, least, shift;
};

}

namespace pushforward {

using Mixture = pushforward_mixture;
// For elements begin to end, which share their parameters where group > 1. sums: where the gradients by shared parameters
// go, one after the other; they are those of these elements alone.
using RunMixture = void (*)(const Mixture&, int64_t begin, int64_t end, void* sums);

// Whether parameters are shared is the second index of each.
struct MixtureKernels {
  RunMixture values[2][2], inverse[2][2], gradients[2][2];
};

}  // namespace pushforward
