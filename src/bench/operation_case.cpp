// Operands and calls for each operation. In, out: operation_case.h.
#include "bench/operation_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/experts.h"
#include "kernels/head.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/routing.h"
#include "model/ops_ffn.h"

namespace moebius::bench {

namespace {

using kernels::Part;

double real(i64 n) { return static_cast<double>(n); }

// Makes operands in the memory of a case. Values repeat every 4096 elements: speed does not depend on them.
struct Maker {
  const OperationShape& shape;
  OperationCase& out;
  const std::vector<i32>* expert_TK = nullptr;  // of a recorded routing; nullptr: drawn
  i64 tokens = shape.tokens, d = shape.config.d_model;
  double t = real(shape.tokens), width = real(shape.config.d_model), c = real(dtype_bytes(shape.dtype));

  void* take(i64 bytes) {
    out.memory.push_back(std::make_unique<Buffer>("bench", std::max<i64>(64, bytes)));
    return out.memory.back()->data();
  }
  Matrix matrix(DType dtype, i64 rows, i64 cols, double scale = 0.5) {
    const i64 count = rows * cols, size = dtype_bytes(dtype);
    u8* data = static_cast<u8*>(take(count * size));
    std::vector<float> values(1 << 12);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = static_cast<float>(scale) * rng_normal_at(1, RngStream::benchmark, 0, i);
    }
    for (i64 at = 0; at < count; at += 1 << 12) {
      kernels::convert_from_f32(values.data(), std::min<i64>(1 << 12, count - at), data + at * size, dtype);
    }
    return {data, dtype, rows, cols, cols};
  }
  // What is only written or added to needs no values.
  Matrix blank(DType dtype, i64 rows, i64 cols) {
    return {take(rows * cols * dtype_bytes(dtype)), dtype, rows, cols, cols};
  }
  Matrix operand(i64 rows, i64 cols) { return matrix(shape.dtype, rows, cols); }
  Matrix result(i64 rows, i64 cols) { return blank(shape.dtype, rows, cols); }
  Matrix f32(i64 rows, i64 cols) { return blank(DType::f32, rows, cols); }
  float* vector(i64 count, double scale = 0.5) { return matrix(DType::f32, 1, count, scale).f32(); }
  i32* integers(i64 count) { return static_cast<i32*>(take(count * 4)); }
  kernels::PackedWeight weight(kernels::PackedShape packed) {
    return {matrix(shape.dtype, 1, packed.elements(), 0.05).data, shape.dtype, packed};
  }
  // Gradients of weights are written, as by the first micro-batch of a step.
  float* gradient(kernels::PackedShape packed, i64 copies = 1) { return f32(copies, packed.elements()).f32(); }

  void add(const char* direction, Part part, double flops, double bytes, std::function<void()> run,
           bool products_f32 = false) {
    out.calls.push_back({direction, {part, false, products_f32, flops, bytes}, std::move(run)});
  }

  void linear();
  void attention();
  void experts();
  void route();
  void head();
  void norm();
  void optimizer();
  kernels::Routing routing();
};

void Maker::linear() {
  const i64 n = shape.outputs;
  const kernels::PackedWeight w = weight({n, d});
  const Matrix x = operand(tokens, d), y = result(tokens, n), dy = operand(tokens, n), dx = result(tokens, d);
  float* dw = gradient(w.shape);
  const double flops = 2 * t * real(n) * width, weights = real(n) * width;
  const double through = c * (weights + t * (width + real(n)));
  add("forward", Part::output, flops, through, [=] { kernels::linear_forward(x, w, y, false); });
  add("backward", Part::output, flops, through, [=] { kernels::linear_backward_input(dy, w, dx, false); });
  add("weight gradient", Part::output, flops, c * t * (width + real(n)) + 4 * weights,
      [=] { kernels::linear_backward_weight(dy, x, w.shape, dw, kernels::GradientSum::overwrite); });
}

void Maker::attention() {
  const auto& a = shape.config.attention;
  const i64 q_width = a.heads * a.head_dim, kv_width = a.kv_heads * a.head_dim;
  const i64 rows = std::min(shape.sequence, tokens);
  const Matrix q = operand(tokens, q_width), k = operand(tokens, kv_width), v = operand(tokens, kv_width);
  const Matrix y = result(tokens, q_width), dy = operand(tokens, q_width), dq = result(tokens, q_width);
  const Matrix dk = result(tokens, kv_width), dv = result(tokens, kv_width);
  float* lse = vector(tokens * a.heads);
  std::vector<kernels::AttentionSegment> segments;
  for (i64 row = 0; row < tokens; row += rows) {
    const i64 count = std::min(rows, tokens - row);
    segments.push_back({row, count, ConstMatrix(k).row(row), ConstMatrix(v).row(row), kv_width, count});
  }
  kernels::AttentionShape s;
  s.heads = a.heads;
  s.kv_heads = a.kv_heads;
  s.head_dim = a.head_dim;
  s.scale = static_cast<float>(1.0 / std::sqrt(real(a.head_dim)));
  double keys = 0;
  for (const auto& segment : segments) keys += real(segment.rows) * real(segment.rows + 1) / 2;
  const double flops = 4 * keys * real(q_width), sums = 4 * t * real(a.heads);
  const double queries = c * t * real(q_width), pairs = 2 * c * t * real(kv_width);
  add("forward", Part::attention, flops, 2 * queries + pairs + sums,
      [=] { kernels::attention_forward(s, q, segments, y, lse); });
  add("backward", Part::attention, 2 * flops, 4 * queries + 2 * pairs + sums,
      [=] { kernels::attention_backward(s, q, segments, y, dy, lse, dq, dk, dv); });
}

// Each expert's log-probability is normal with deviation load_spread; each token adds noise of its own and takes the
// best.
kernels::Routing Maker::routing() {
  const i64 count = shape.config.experts.experts, k = shape.config.experts.top_k, rows = tokens * k;
  kernels::Routing r{
      tokens,        k, count, integers(rows), vector(rows), integers(count + 1), integers(rows), integers(rows),
      integers(rows)};
  std::fill_n(r.gate_TK, rows, 0.5f);
  if (expert_TK != nullptr) {
    std::copy_n(expert_TK->begin(), rows, r.expert_TK);
  } else {
    Rng rng(1, RngStream::benchmark);
    std::vector<double> bias(static_cast<std::size_t>(count)), score(bias.size());
    for (i64 e = 0; e < count; ++e) {
      bias[static_cast<std::size_t>(e)] =
          shape.load_spread * static_cast<double>(rng_normal_at(1, RngStream::benchmark, 1, static_cast<u64>(e)));
    }
    std::vector<i32> order(bias.size());
    for (i64 token = 0; token < tokens; ++token) {
      for (std::size_t e = 0; e < bias.size(); ++e)
        score[e] = bias[e] - std::log(-std::log(rng.next_uniform() * 0.999999 + 5e-7));
      std::iota(order.begin(), order.end(), 0);
      std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](i32 a, i32 b) {
        return score[static_cast<std::size_t>(a)] > score[static_cast<std::size_t>(b)];
      });
      std::copy_n(order.begin(), k, r.expert_TK + token * k);
    }
  }
  kernels::dispatch_tokens(r);
  i64 most = 0;
  for (i64 e = 0; e < count; ++e) most = std::max(most, r.expert_rows(e));
  out.load_max_over_mean = real(most * count) / real(rows);
  return r;
}

void Maker::experts() {
  const kernels::Routing r = routing();
  const i64 f = shape.config.experts.width, rows = r.rows();
  kernels::ExpertBank bank;
  bank.experts = r.experts;
  bank.d_model = d;
  bank.width = f;
  bank.activation = shape.config.experts.activation == model::Activation::gelu ? kernels::Activation::gelu
                                                                               : kernels::Activation::swiglu;
  bank.dtype = shape.dtype;
  const i64 columns = bank.up_shape().n;
  bank.up = matrix(shape.dtype, r.experts, bank.up_shape().elements(), 0.05).data;
  bank.down = matrix(shape.dtype, r.experts, bank.down_shape().elements(), 0.05).data;
  const Matrix x = operand(tokens, d), dy = operand(tokens, d), scratch_rows = f32(rows, d), y = f32(tokens, d),
               dx = f32(tokens, d);
  const kernels::ExpertSaved saved{result(rows, columns), result(rows, f)};
  const kernels::ExpertBackwardScratch scratch{result(rows, columns), scratch_rows};
  float* dgate = vector(rows);
  float *dup = gradient(bank.up_shape(), r.experts), *ddown = gradient(bank.down_shape(), r.experts);
  i64 used = 0;
  for (i64 e = 0; e < r.experts; ++e) used += r.expert_rows(e) > 0 ? 1 : 0;
  const double matrices = bank.activation == kernels::Activation::swiglu ? 3 : 2;
  const double weights = real(used) * matrices * width * real(f), kept = c * real(rows) * matrices * real(f);
  const double flops = 2 * real(rows) * matrices * width * real(f);
  add("forward", Part::experts, flops, c * weights + kept + t * width * (c + 8),
      [=] { kernels::experts_forward(x, r, bank, saved, scratch_rows, y); });
  add("backward", Part::experts, 2 * flops, (c + 4) * weights + kept + t * width * (2 * c + 8), [=] {
    kernels::experts_backward(dy, x, r, bank, saved, scratch, dx, dgate, dup, ddown, kernels::GradientSum::overwrite);
  });
}

void Maker::route() {
  kernels::Routing r = routing();
  const kernels::RouterShape s = model::router_shape(shape.config);
  const Matrix x = operand(tokens, d), dx = f32(tokens, d);
  float *w = vector(r.experts * d, 0.05), *dw = vector(r.experts * d);
  float *logits = vector(tokens * r.experts), *prob = vector(tokens * r.experts), *dlogits = vector(tokens * r.experts);
  float* dgate = vector(r.rows());
  const double flops = 2 * t * width * real(r.experts), weights = 4 * width * real(r.experts),
               kept = 4 * t * real(r.experts);
  add(
      "forward", Part::route, flops, weights + kept + t * (c * width + 8 * real(r.top_k)),
      [=]() mutable {
        kernels::route_forward(x, w, s, nullptr, logits, prob, r);
        kernels::dispatch_tokens(r);
      },
      true);
  add(
      "backward", Part::route, 2 * flops, 3 * weights + kept + t * ((c + 8) * width + 8 * real(r.top_k)),
      [=] { kernels::route_backward(x, w, s, logits, prob, r, dgate, {}, dlogits, dw, dx); }, true);
}

void Maker::head() {
  const i64 vocab = shape.config.vocab;
  const kernels::PackedWeight w = weight({vocab, d});
  const Matrix x = operand(tokens, d), dx = f32(tokens, d);
  float *dw = gradient(w.shape), *loss = vector(tokens);
  i32* target = integers(tokens);
  for (i64 i = 0; i < tokens; ++i) target[i] = static_cast<i32>(i * 31 % vocab);
  const double weights = real(vocab) * width;
  add("both", Part::head, 6 * t * weights, (c + 4) * weights + t * width * (c + 4),
      [=] { kernels::head_loss(x, w, target, 1e-3f, loss, dx, dw, kernels::GradientSum::overwrite); });
}

void Maker::norm() {
  const Matrix x = matrix(DType::f32, tokens, d), y = operand(tokens, d), dx = f32(tokens, d);
  float *gain = vector(d), *dgain = vector(d), *inv = vector(tokens);
  add("forward", Part::norm, 0, t * width * (4 + c), [=] { kernels::rmsnorm_forward(x, gain, 1e-5f, y, inv); });
  add("backward", Part::norm, 0, t * width * (4 + c + 8),
      [=] { kernels::rmsnorm_backward(y, x, gain, inv, dx, dgain); });
}

// As many parameters as the configuration has.
void Maker::optimizer() {
  const i64 count = model::count_model(shape.config, shape.sequence).parameters_total;
  float *master = vector(count), *m = vector(count), *v = vector(count), *g = vector(count);
  std::transform(v, v + count, v, [](float value) { return value * value; });
  const bool copies = shape.dtype == DType::bf16;
  void* copy = copies ? take(count * 2) : nullptr;
  const DType dtype = shape.dtype;
  kernels::AdamwStep step;
  step.learning_rate = 1e-3f;
  add("forward", Part::optimizer, 0, real(count) * (copies ? 30 : 28),
      [=] { kernels::adamw_update(step, count, master, m, v, g, copy, dtype); });
}

const std::pair<const char*, void (Maker::*)()> kOperations[] = {
    {"linear", &Maker::linear},      {"attention", &Maker::attention}, {"route", &Maker::route},
    {"experts", &Maker::experts},    {"head", &Maker::head},           {"norm", &Maker::norm},
    {"optimizer", &Maker::optimizer}};

}  // namespace

const std::vector<std::string>& operation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    for (const auto& [name, make] : kOperations) all.emplace_back(name);
    return all;
  }();
  return names;
}

std::string OperationShape::text() const {
  const auto& a = config.attention;
  const auto& e = config.experts;
  const std::string rows = fmt::format("{} T={}", name, tokens);
  if (name == "linear") return fmt::format("{} d={} N={}", rows, config.d_model, outputs);
  if (name == "attention")
    return fmt::format("{} of {}, {} heads of {}", rows, std::min(sequence, tokens), a.heads, a.head_dim);
  if (name == "route") {
    return fmt::format("{} d={} E={} k={} {}", rows, config.d_model, e.experts, e.top_k,
                       model::router_score_name(config.router.score));
  }
  if (name == "experts")
    return fmt::format("{} d={} E={} k={} F={}", rows, config.d_model, e.experts, e.top_k, e.width);
  if (name == "head") return fmt::format("{} d={} V={}", rows, config.d_model, config.vocab);
  if (name == "norm") return fmt::format("{} d={}", rows, config.d_model);
  return fmt::format("{} N={}", name, model::count_model(config, sequence).parameters_total);
}

double operation_bytes(const OperationShape& shape) {
  const double c = real(dtype_bytes(shape.dtype)), t = real(shape.tokens), d = real(shape.config.d_model);
  const auto& e = shape.config.experts;
  if (shape.name == "linear") return (c + 4) * d * real(shape.outputs) + 2 * c * t * (d + real(shape.outputs));
  if (shape.name == "head") return (c + 4) * d * real(shape.config.vocab) + t * d * (c + 4);
  if (shape.name == "optimizer") return 18 * real(model::count_model(shape.config, shape.sequence).parameters_total);
  if (shape.name == "experts") {
    const double rows = t * real(e.top_k), f = real(e.width);
    return (c + 4) * real(e.experts) * 3 * d * f + rows * (6 * c * f + 4 * d) + t * d * (2 * c + 8);
  }
  if (shape.name == "route") return t * (12 * real(e.experts) + (c + 4) * d);
  return 8 * t * std::max(d, real(shape.config.attention.heads * shape.config.attention.head_dim)) * c;
}

OperationCase make_operation(const OperationShape& shape, const std::vector<i32>* expert_TK) {
  OperationCase made;
  Maker maker{shape, made, shape.name == "experts" ? expert_TK : nullptr};
  for (const auto& [name, make] : kOperations) {
    if (shape.name != name) continue;
    (maker.*make)();
    return made;
  }
  throw Error({.where = "moebius bench operation",
               .what = fmt::format("unknown operation '{}'", shape.name),
               .wanted = fmt::format("{}", fmt::join(operation_names(), ", ")),
               .fix = nearest_advice(shape.name, operation_names(), "moebius bench --help lists the operations")});
}

}  // namespace moebius::bench
