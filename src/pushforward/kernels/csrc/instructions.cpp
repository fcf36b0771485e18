// Compiled once for each set of instructions: INSTRUCTIONS is its name and WIDTH that of a vector in bytes.
#include "conditioned.h"
#include "interface.h"
#include "mixture.h"
#include "net.h"
#include "spline.h"

namespace pushforward {
namespace INSTRUCTIONS {
namespace {

template <class T, bool back> void run_values(const Options& o, const Arrays& a, int64_t begin, int64_t end) {
  values<T, back>(spline_of<T>(o), (const T*)a.values, (const T*)a.params, a.step, begin, end, (T*)a.out,
                  (T*)a.log_slope);
}

template <class T, bool back> void run_gradients(const Options& o, const Arrays& a, int64_t begin, int64_t end) {
  gradients<T, back>(spline_of<T>(o), (const T*)a.values, (const T*)a.params, a.step, (const T*)a.grad_out,
                     (const T*)a.grad_log_slope, begin, end, (T*)a.out, (T*)a.grad_params);
}

}  // namespace

extern const Kernels kernels = {
    {{run_values<float, false>, run_values<float, true>}, {run_values<double, false>, run_values<double, true>}},
    {{run_gradients<float, false>, run_gradients<float, true>},
     {run_gradients<double, false>, run_gradients<double, true>}},
    {net_values<float>, net_values<double>},
    {net_gradients<float>, net_gradients<double>},
    {rows_at_once<float>(), rows_at_once<double>()},
    {conditioned<float>, conditioned<double>},
    {map_gradients<float>, map_gradients<double>},
    {staged<float>, staged<double>},
    mixture_kernels};

}  // namespace INSTRUCTIONS
}  // namespace pushforward
