// Counts for each operation. T tokens, d width, c bytes of the compute type; a saved activation is written by the
// operation that makes it and read by the one whose backward needs it first.
#include "model/roofline.h"

#include <algorithm>
#include <cmath>

namespace moebius::model {

namespace {

using kernels::Part;

struct Counter {
  const ModelConfig& config;
  DType compute;
  StepShape shape;
  std::vector<StepOperation> operations;

  double tokens = shape.tokens;
  double passes = static_cast<double>(shape.micro_batches);
  double c = static_cast<double>(dtype_bytes(compute));
  double d = static_cast<double>(config.d_model);
  double layers = static_cast<double>(config.layers);
  double moe = static_cast<double>(config.moe_layers());
  double dense = layers - moe;

  void add(Part part, bool backward, double flops, double bytes, bool f32 = false) {
    operations.push_back({part, backward, f32, flops, bytes});
  }

  // For each token; between two whole lengths a straight line, which it is without a window.
  double mfu_flops(double document) const {
    const double below = std::max(1.0, std::floor(document));
    const double at = count_model(config, static_cast<i64>(below)).flops_per_token_mfu;
    if (document <= below) return at;
    return at + (document - below) * (count_model(config, static_cast<i64>(below) + 1).flops_per_token_mfu - at);
  }

  // Adding to a weight's gradient `uses` times a step: written the first time, read and written the others.
  static double gradient_bytes(double parameters, double uses) { return 4 * parameters * (2 * uses - 1); }

  // A product with weights. `active` parameters work on each token, `stored` are read in each pass by `sharing` layers;
  // `written` and `read` are bytes of saved activations for each token, in forward and in backward.
  void add_product(Part part, double active, double stored, double sharing, double written, double read) {
    const double weights = c * stored * sharing * passes;
    add(part, false, 2 * tokens * active, weights + tokens * written);
    add(part, true, 4 * tokens * active, weights + gradient_bytes(stored, sharing * passes) + tokens * read);
  }

  // y = norm(x): y is saved for the products after it; backward reads x (f32), which the previous operation wrote.
  void add_norm(double count) {
    const double gains = d * count;
    add(Part::norm, false, 0, tokens * count * c * d);
    add(Part::norm, true, 0, tokens * count * 4 * d + gradient_bytes(gains, passes));
  }

  void add_attention() {
    const auto& a = config.attention;
    const double q = static_cast<double>(a.heads * a.head_dim), kv = static_cast<double>(a.kv_heads * a.head_dim);
    add_product(Part::query_key_value, layers * d * (q + 2 * kv), layers * d * (q + 2 * kv), 1,
                layers * c * (q + 2 * kv), layers * c * d);
    // Scores and weighted values over the mean number of keys; the logarithm of each row's sum is kept (f32).
    const double scores = 12 * layers * q;
    const double flops = tokens * (mfu_flops(shape.document) - mfu_flops(1) + scores);
    const double sums = 4 * static_cast<double>(a.heads);
    add(Part::attention, false, flops / 3, tokens * layers * (c * q + sums));
    add(Part::attention, true, flops * 2 / 3, tokens * layers * (c * (q + 2 * kv) + sums));
    // The stream after it is saved for the norm; the mixed values are read for the weights' gradient.
    add_product(Part::output, layers * q * d, layers * q * d, 1, layers * 4 * d, layers * c * q);
  }

  // FFNs of `width` units that all tokens pass: `count` of them; they write the stream or, shared experts, nothing.
  void add_dense(double count, double width, double matrices, double stream) {
    const double weights = count * matrices * d * width, saved = count * c * matrices * width;
    add_product(Part::dense_ffn, weights, weights, 1, saved + count * stream, saved + count * (stream > 0 ? c * d : 0));
  }

  void add_ffn() {
    const auto& x = config.experts;
    const double matrices = x.activation == Activation::swiglu ? 3 : 2;
    if (dense > 0) add_dense(dense, static_cast<double>(x.dense_width), matrices, 4 * d);
    if (moe == 0) return;
    const double k = static_cast<double>(x.top_k), experts = static_cast<double>(x.experts);
    const double f = static_cast<double>(x.width);
    // The router reads the norm's output from cache and keeps its scores (f32), the choice and the gates.
    const double router = moe * experts * d, kept = moe * (4 * experts + 8 * k);
    add(Part::route, false, 2 * tokens * router, 4 * router * passes + tokens * kept, true);
    add(Part::route, true, 4 * tokens * router, 4 * router * passes + gradient_bytes(router, passes) + tokens * kept,
        true);
    // Before and after the activation; experts without a token are not read. The norm's output is read by backward.
    const double used = std::min(experts, tokens / passes * k), saved = moe * c * k * matrices * f;
    const double sharing = static_cast<double>(x.bank_layers);
    add_product(Part::experts, moe * k * matrices * d * f, moe / sharing * used * matrices * d * f, sharing, saved,
                saved + moe * c * d);
    add(Part::combine, false, 0, tokens * moe * 4 * d);
    if (x.shared_experts > 0) add_dense(moe, static_cast<double>(x.shared_experts) * f, matrices, 0);
  }

  void run() {
    const double vocab = static_cast<double>(config.vocab), rows = std::min(tokens / passes, vocab) * passes;
    // Rows of the table, and the stream that the first norm's backward reads.
    add(Part::embedding, false, 0, 4 * d * (rows + tokens));
    add_norm(2 * layers + 1);
    add_attention();
    add_ffn();
    // Loss and gradient at once: the weights pass once, the norm's output is in cache.
    add(Part::head, false, 6 * tokens * d * vocab, c * d * vocab * passes + gradient_bytes(d * vocab, passes));
    add(Part::embedding, true, 0, 4 * d * rows);
    // Gradient read; master and both moments read and written; copy written.
    const double elements = static_cast<double>(count_model(config, 1).parameters_total);
    add(Part::optimizer, false, 0, elements * (4 + 8 + 16 + (compute == DType::bf16 ? 2 : 0)));
  }
};

}  // namespace

double document_mean(double squares, double tokens) { return tokens > 0 ? squares / tokens : 0; }

std::string StepOperation::name() const {
  const std::string part_text = kernels::part_name(part);
  if (part == Part::head || part == Part::optimizer) return part_text;
  return part_text + (backward ? " backward" : " forward");
}

std::vector<StepOperation> train_operations(const ModelConfig& config, DType compute, const StepShape& shape) {
  Counter counter{config, compute, shape, {}};
  counter.run();
  return counter.operations;
}

double bound_seconds(const StepOperation& operation, DType compute, const kernels::Roof& roof) {
  const bool f32 = operation.f32 || compute == DType::f32;
  const double by_bytes = roof.dram_bytes_per_s > 0 ? operation.bytes / roof.dram_bytes_per_s : 0;
  const double peak = f32 ? roof.f32_flops_per_s : roof.bf16_flops_per_s;
  return std::max(peak > 0 ? operation.flops / peak : 0, by_bytes);
}

double roofline_seconds(const std::vector<StepOperation>& operations, DType compute, const kernels::Roof& roof) {
  double seconds = 0;
  for (const StepOperation& operation : operations) seconds += bound_seconds(operation, compute, roof);
  return seconds;
}

}  // namespace moebius::model
