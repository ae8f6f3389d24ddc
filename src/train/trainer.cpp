// The step, part by part.
#include "train/trainer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/error.h"
#include "base/progress.h"
#include "kernels/profile.h"
#include "model/trace.h"

namespace moebius::train {

void describe_load(LayerLoad& load) {
  i64 sum = 0, largest = 0;
  load.dead = 0;
  for (const i64 count : load.count_E) {
    sum += count;
    largest = std::max(largest, count);
    load.dead += count == 0 ? 1 : 0;
  }
  load.max_over_mean =
      sum > 0 ? static_cast<double>(largest) * static_cast<double>(load.count_E.size()) / static_cast<double>(sum) : 0;
}

Trainer::Trainer(model::Network& network, AdamwState& adamw, const OptimizerOptions& options, const Schedule& schedule,
                 i64 micro_batch_tokens)
    : network_(network),
      adamw_(adamw),
      options_(options),
      schedule_(schedule),
      micro_batch_tokens_(micro_batch_tokens) {
  // The count is linear in the sequence length: f(S) = linear + attention * S.
  const double at_1024 = model::count_model(network.config(), 1024).flops_per_token_mfu;
  const double at_2048 = model::count_model(network.config(), 2048).flops_per_token_mfu;
  flops_attention_ = (at_2048 - at_1024) / 1024;
  flops_linear_ = at_1024 - 1024 * flops_attention_;
  network.reserve(micro_batch_tokens);
  segments_.reserve(static_cast<std::size_t>(micro_batch_tokens));
  loads_.resize(static_cast<std::size_t>(network.config().moe_layers()));
  for (LayerLoad& load : loads_) load.count_E.resize(static_cast<std::size_t>(network.config().experts.experts));
}

void Trainer::check_batch() const {
  const i64 vocab = network_.config().vocab;
  i32 largest = 0;
  for (const i32 token : batch_.tokens) largest = std::max(largest, token);
  for (const i32 token : batch_.targets) largest = std::max(largest, token);
  if (largest < vocab) return;
  throw Error({.where = "training data",
               .what = "a token id is outside of the model's vocabulary",
               .wanted = fmt::format("ids below {}", vocab),
               .got = fmt::format("{}", largest),
               .fix = fmt::format("use --vocab {} or more, or shards made with the model's tokenizer", largest + 1)});
}

void Trainer::count_work() {
  for (const data::DocumentSpan& span : batch_.spans) {
    if (span.source < 0 && batch_.targets[static_cast<std::size_t>(span.begin)] < 0) continue;  // padding
    const double n = static_cast<double>(span.count);
    report_.tokens += span.count;
    report_.squares += n * n;
  }
  report_.flops = static_cast<double>(report_.tokens) * flops_linear_ + report_.squares * flops_attention_;
}

void Trainer::pass(i64 first_row, i64 rows, i64 micro_batches) {
  segments_.clear();
  const i64 end = first_row + rows;
  for (; span_ < batch_.spans.size() && batch_.spans[span_].begin < end; ++span_) {
    const data::DocumentSpan& span = batch_.spans[span_];
    segments_.push_back({.row = span.begin - first_row, .rows = span.count, .position = span.position});
  }
  const std::size_t first = static_cast<std::size_t>(first_row), count = static_cast<std::size_t>(rows);
  const model::NetworkInput input{std::span<const i32>(batch_.tokens).subspan(first, count), segments_};
  const model::PassResult& result =
      network_.train_pass(input, std::span<const i32>(batch_.targets).subspan(first, count),
                          1.0f / static_cast<float>(report_.targets), 1.0f / static_cast<float>(micro_batches), {});
  report_.loss += result.loss_sum;
  CHECK(result.layers.size() == loads_.size(), "the pass reports every MoE layer");
  const double share = 1.0 / static_cast<double>(micro_batches);
  for (std::size_t l = 0; l < loads_.size(); ++l) {
    const model::LayerRouting& layer = result.layers[l];
    report_.loss_balance += share * layer.balance / static_cast<double>(loads_.size());
    report_.loss_z += share * layer.z / static_cast<double>(loads_.size());
    loads_[l].entropy += share * layer.entropy;
    for (std::size_t e = 0; e < layer.count_E.size(); ++e) loads_[l].count_E[e] += layer.count_E[e];
  }
}

void Trainer::sum_loads() {
  for (LayerLoad& load : loads_) {
    describe_load(load);
    report_.load_max_over_mean = std::max(report_.load_max_over_mean, load.max_over_mean);
    report_.dead_experts += load.dead;
  }
}

// Loss-free balancing (2408.15664): once a step, b_i += rate * sign(mean count - count_i), over all micro-batches.
void Trainer::move_selection_bias() {
  const float rate = static_cast<float>(network_.config().router.bias_rate);
  if (rate <= 0) return;
  const std::span<float> bias = network_.selection_bias();
  const std::size_t experts = static_cast<std::size_t>(network_.config().experts.experts);
  for (std::size_t l = 0; l < loads_.size(); ++l) {
    i64 sum = 0;
    for (const i64 count : loads_[l].count_E) sum += count;
    for (std::size_t e = 0; e < experts; ++e) {
      const i64 difference = sum - loads_[l].count_E[e] * static_cast<i64>(experts);
      bias[l * experts + e] += difference > 0 ? rate : difference < 0 ? -rate : 0.0f;
    }
  }
}

const StepReport& Trainer::step(data::BatchSource& source, i64 number) {
  const i64 start_ns = clock_ns();
  {
    const kernels::ProfileScope scope(kernels::Part::data, kernels::Direction::forward);
    source.next(batch_);
    check_batch();
  }
  report_ = {};
  report_.step = number;
  report_.rows = batch_.rows();
  report_.targets = data::batch_targets(batch_);
  count_work();
  report_.learning_rate = learning_rate_at(schedule_, number);
  if (report_.targets == 0)
    throw Error({.where = "training data", .what = fmt::format("step {} has no targets", number)});
  CHECK(report_.rows % micro_batch_tokens_ == 0, "micro-batches cut a step into equal parts");
  for (LayerLoad& load : loads_) {
    std::fill(load.count_E.begin(), load.count_E.end(), 0);
    load.entropy = 0;
  }
  const i64 pass_ns = clock_ns();
  const i64 micro_batches = report_.rows / micro_batch_tokens_;
  span_ = 0;
  network_.begin_gradient();
  for (i64 i = 0; i < micro_batches; ++i) pass(i * micro_batch_tokens_, micro_batch_tokens_, micro_batches);
  report_.loss /= static_cast<double>(report_.targets);
  sum_loads();
  const i64 optimizer_ns = clock_ns();
  {
    const kernels::ProfileScope scope(kernels::Part::gradient_norm, kernels::Direction::forward);
    report_.grad_norm = gradient_norm(network_.weights());
  }
  if (!std::isfinite(report_.loss) || !std::isfinite(report_.grad_norm)) {
    const auto text = [](double value) { return std::isnan(value) ? "NaN" : fmt::format("{}", value); };
    throw Error(
        {.where = fmt::format("step {}", number),
         .what =
             fmt::format("training diverged: loss {}, gradient norm {}", text(report_.loss), text(report_.grad_norm)),
         .fix = "use a smaller --learning-rate, a longer warm-up or a smaller --clip; the last checkpoint is intact"});
  }
  const kernels::ProfileScope scope(kernels::Part::optimizer, kernels::Direction::forward);
  adamw_step(network_.weights(), adamw_, options_, report_.learning_rate, number, report_.grad_norm);
  move_selection_bias();
  if (model::Trace* trace = model::Trace::current()) trace->write_weights(network_.weights());
  const i64 end_ns = clock_ns();
  report_.data_ns = pass_ns - start_ns;
  report_.pass_ns = optimizer_ns - pass_ns;
  report_.optimizer_ns = end_ns - optimizer_ns;
  report_.step_ns = end_ns - start_ns;
  return report_;
}

}  // namespace moebius::train
