// The passes of a network: input checks, the forward pass, scoring, logits. The tape runs the operations backward.
#include "model/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "kernels/workspace.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "model/activations.h"
#include "model/tape.h"

namespace moebius::model {

namespace {

constexpr i64 kOpsPerLayer = 8;

// The parameters of one layer; null where the layer has none.
struct LayerParameters {
  const Parameter *norm = nullptr, *qkv = nullptr, *bias = nullptr, *query_norm = nullptr, *key_norm = nullptr,
                  *output = nullptr, *ffn_norm = nullptr, *router = nullptr, *up = nullptr, *down = nullptr,
                  *dense_up = nullptr, *dense_down = nullptr;
};

LayerParameters find_layer(const ModelConfig& config, const Weights& weights, i64 layer) {
  const std::string prefix = fmt::format("layers.{}.", layer);
  LayerParameters p;
  p.norm = &weights.find(prefix + "attention.norm");
  p.qkv = &weights.find(prefix + "attention.query_key_value");
  if (config.attention.bias) p.bias = &weights.find(prefix + "attention.bias");
  if (config.attention.qk_norm) {
    p.query_norm = &weights.find(prefix + "attention.query_norm");
    p.key_norm = &weights.find(prefix + "attention.key_norm");
  }
  p.output = &weights.find(prefix + "attention.output");
  p.ffn_norm = &weights.find(prefix + "ffn.norm");
  if (!config.layer_is_moe(layer)) {
    p.dense_up = &weights.find(prefix + "dense.up");
    p.dense_down = &weights.find(prefix + "dense.down");
    return p;
  }
  p.router = &weights.find(prefix + "router");
  const std::string bank = fmt::format("banks.{}", config.bank_of_layer(layer));
  p.up = &weights.find(bank + ".up");
  p.down = &weights.find(bank + ".down");
  if (config.experts.shared_experts > 0) {
    p.dense_up = &weights.find(prefix + "shared.up");
    p.dense_down = &weights.find(prefix + "shared.down");
  }
  return p;
}

bool row_is_finite(const Matrix& m, i64 row) {
  const auto count = static_cast<std::size_t>(m.cols);
  return m.dtype == DType::f32 ? all_finite(std::span(m.f32() + row * m.stride, count))
                               : all_finite(std::span(m.b16() + row * m.stride, count));
}

}  // namespace

struct Network::Impl {
  ModelConfig config;
  DType compute;
  PassKind kind;
  Weights weights;
  std::vector<LayerParameters> parameters;
  const Parameter *embedding = nullptr, *norm = nullptr, *head = nullptr;
  Buffer arena, bias;
  Activations plan;
  Tape tape;
  AttentionSegments attention_segments;
  std::vector<i32> scored_rows;
  std::vector<kernels::HeadTarget> scored_targets;
  PassResult result;
  std::vector<std::vector<i32>>* record = nullptr;
  const std::vector<std::vector<i32>>* replay = nullptr;

  // One pass.
  i64 T = 0;
  const NetworkInput* input = nullptr;
  bool recording = false;  // a training pass
  float auxiliary_scale = 0;
  kernels::GradientSum sum = kernels::GradientSum::add;  // of the matrices' gradients

  // Views of the plan with this pass's rows.
  Matrix f32(float* data, i64 cols) const { return {data, DType::f32, T, cols, cols}; }
  Matrix mixed(void* data, i64 cols) const { return {data, compute, T, cols, cols}; }
  Matrix rows(void* data, i64 count, i64 cols) const { return {data, compute, count, cols, cols}; }
  kernels::PackedWeight packed(const Parameter& p) const { return {weights.compute_data(p), compute, p.shape}; }
  const float* vector(const Parameter* p) const { return p == nullptr ? nullptr : weights.master_data(*p); }
  float* gradient(const Parameter* p) const {
    return p == nullptr || !kind.training ? nullptr : weights.gradient_data(*p);
  }
  float epsilon() const { return static_cast<float>(config.norm_epsilon); }

  void reserve(i64 tokens_max);
  void begin(const NetworkInput& in, const char* kind, bool record_ops);
  void check_input(const NetworkInput& in) const;
  void forward();
  void attention_block(i64 layer);
  void ffn_block(i64 layer);
  RouteOp route_op(i64 layer);
  ExpertsOp experts_op(const Matrix& x, const kernels::Routing& routing, const Parameter& up, const Parameter& down,
                       i64 width, const FfnBuffers& saved, const Matrix& residual, const Matrix& y, const Matrix& dx);
  void final_norm();
  void clear_vectors() const;
  Matrix final_norm_rows(std::span<const i32> selected);
  void trace_head(const TraceTensor& tensor) const;
  void score(std::span<const kernels::HeadTarget> targets, float* logprob, i32* argmax);
  const PassResult& finish(std::span<const i32> target_T, const float* loss_T);
};

void Network::Impl::reserve(i64 tokens_max) {
  if (tokens_max <= plan.tokens_max) return;
  arena = Buffer();
  arena = Buffer("activations", plan_activations(config, compute, kind, tokens_max, nullptr).bytes);
  plan = plan_activations(config, compute, kind, tokens_max, static_cast<u8*>(arena.data()));
  for (i64 t = 0; t < tokens_max; ++t) {
    plan.identity.expert_TK[t] = 0;
    plan.identity.gate_TK[t] = 1.0f;
    plan.identity.token_R[t] = plan.identity.slot_R[t] = plan.identity.row_TK[t] = static_cast<i32>(t);
  }
  const i64 half = config.attention.head_dim / 2;
  for (i64 i = 0; i < half; ++i) {
    plan.frequency[i] = static_cast<float>(std::pow(
        config.attention.rope_base, -2.0 * static_cast<double>(i) / static_cast<double>(config.attention.head_dim)));
  }
  attention_segments.reserve(tokens_max);
  tape.reserve(config.layers * kOpsPerLayer + 4, config.layers + 2);
}

void Network::Impl::check_input(const NetworkInput& in) const {
  const i64 tokens = static_cast<i64>(in.token_T.size());
  CHECK(tokens > 0, "a pass has tokens");
  i64 row = 0;
  for (const Segment& segment : in.segments) {
    CHECK(segment.row == row && segment.rows > 0 && segment.position >= 0, "segments cover all rows in order");
    CHECK((segment.cache == nullptr && segment.prefix_rows == 0) || !recording, "training has whole documents");
    CHECK(segment.cache == nullptr || segment.position == segment.cache->positions, "a segment continues its cache");
    CHECK(segment.prefix_rows == 0 ||
              (segment.cache == nullptr && segment.position == segment.prefix_rows && segment.prefix_row >= 0 &&
               segment.prefix_row + segment.prefix_rows <= segment.row),
          "a shared prefix lies before its segments");
    row += segment.rows;
  }
  CHECK(row == tokens, "segments cover all rows in order");
  for (const i32 token : in.token_T) {
    if (token >= 0 && token < config.vocab) continue;
    throw Error({.where = "model",
                 .what = "a token id is outside the vocabulary",
                 .wanted = fmt::format("0 to {}", config.vocab - 1),
                 .got = std::to_string(token),
                 .fix = "use the tokenizer of this model"});
  }
}

void Network::Impl::begin(const NetworkInput& in, const char* kind, bool record_ops) {
  recording = record_ops;
  check_input(in);
  T = static_cast<i64>(in.token_T.size());
  reserve(T);
  input = &in;
  for (const Segment& segment : in.segments) {
    for (i64 r = 0; r < segment.rows; ++r) plan.position_T[segment.row + r] = static_cast<i32>(segment.position + r);
  }
  for (LayerBuffers& layer : plan.layers) layer.routing.tokens = T;
  plan.identity.tokens = T;
  plan.identity.offset_E1[0] = 0;
  plan.identity.offset_E1[1] = static_cast<i32>(T);
  if (record != nullptr) record->resize(static_cast<std::size_t>(config.moe_layers()));
  tape.start(recording, kind);
}

void Network::Impl::forward() {
  float* x = plan.layers.front().x_TD;
  tape.begin_part(false);
  tape.run(EmbeddingOp{.table_VD = vector(embedding),
                       .token_T = input->token_T.data(),
                       .x_TD = f32(x, config.d_model),
                       .dx_TD = f32(plan.dx_TD, config.d_model),
                       .dtable_VD = gradient(embedding)});
  for (i64 layer = 0; layer < config.layers; ++layer) {
    // The values of the last layer are still there when backward starts.
    tape.begin_part(kind.recompute == Recompute::layer && layer + 1 < config.layers);
    attention_block(layer);
    ffn_block(layer);
  }
}

// x_mid = x + output(attention(qkv(norm(x))))
void Network::Impl::attention_block(i64 l) {
  const LayerParameters& p = parameters[static_cast<std::size_t>(l)];
  const LayerBuffers& b = plan.layers[static_cast<std::size_t>(l)];
  const AttentionConfig& a = config.attention;
  const i64 d = config.d_model, columns = qkv_width(config), width = a.heads * a.head_dim;
  const Matrix x = f32(b.x_TD, d), x_mid = f32(b.x_mid_TD, d), h = mixed(b.h_TD, d), qkv = mixed(b.qkv_TC, columns);
  const Matrix out = mixed(b.mixed_TA, width), dx = f32(plan.dx_TD, d), dh = f32(plan.dh_TD, d);
  const Matrix dqkv = mixed(plan.dqkv_TC, columns), dout = mixed(plan.dmixed_TA, width);

  tape.run(NormOp{.x_TD = x,
                  .gain_D = vector(p.norm),
                  .epsilon = epsilon(),
                  .y_TD = h,
                  .inv_rms_T = b.inv_rms_T,
                  .dy_TD = dh,
                  .dx_TD = dx,
                  .dgain_D = gradient(p.norm)});
  QueryKeyValueOp qkv_op{.config = &config.attention,
                         .epsilon = epsilon(),
                         .x_TD = h,
                         .w = packed(*p.qkv),
                         .bias = vector(p.bias),
                         .query_gain = vector(p.query_norm),
                         .key_gain = vector(p.key_norm),
                         .raw_TC = f32(b.raw_TC, columns),
                         .inv_rms_qk = b.inv_rms_qk,
                         .qkv_TC = qkv,
                         .position_T = plan.position_T,
                         .frequency = plan.frequency,
                         .dqkv_TC = dqkv,
                         .draw_TC = f32(plan.draw_TC, columns),
                         .dx_TD = dh,
                         .dw = gradient(p.qkv),
                         .dbias = gradient(p.bias),
                         .dquery_gain = gradient(p.query_norm),
                         .dkey_gain = gradient(p.key_norm),
                         .sum = sum};
  tape.run(qkv_op);
  const float scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(a.head_dim)));
  tape.run(AttentionOp{.shape = {a.heads, a.kv_heads, a.head_dim, scale, a.window},
                       .layer = l,
                       .qkv_TC = qkv,
                       .segments = input->segments,
                       .scratch = &attention_segments,
                       .out_TA = out,
                       .lse_TH = recording ? b.lse_TH : nullptr,
                       .dout_TA = dout,
                       .dqkv_TC = dqkv});
  tape.run(OutputOp{.mixed_TA = out,
                    .w = packed(*p.output),
                    .x_TD = x,
                    .y_TD = x_mid,
                    .dx_TD = dx,
                    .dx_compute_TD = mixed(plan.dx_compute_TD, d),
                    .dmixed_TA = dout,
                    .dw = gradient(p.output),
                    .sum = sum});
}

// x_next = x_mid + experts(norm(x_mid)) + shared(norm(x_mid)), or one dense FFN
void Network::Impl::ffn_block(i64 l) {
  const LayerParameters& p = parameters[static_cast<std::size_t>(l)];
  const LayerBuffers& b = plan.layers[static_cast<std::size_t>(l)];
  const ExpertConfig& e = config.experts;
  const i64 d = config.d_model;
  const bool last = l + 1 == config.layers;
  const Matrix x_mid = f32(b.x_mid_TD, d), h = mixed(b.h_ffn_TD, d);
  const Matrix y = f32(last ? plan.x_last_TD : plan.layers[static_cast<std::size_t>(l + 1)].x_TD, d);
  const Matrix dh = f32(plan.dh_ffn_TD[l % 2], d);

  tape.run(NormOp{.x_TD = x_mid,
                  .gain_D = vector(p.ffn_norm),
                  .epsilon = epsilon(),
                  .y_TD = h,
                  .inv_rms_T = b.inv_rms_ffn_T,
                  .dy_TD = dh,
                  .dx_TD = f32(plan.dx_TD, d),
                  .dgain_D = gradient(p.ffn_norm)});
  if (!config.layer_is_moe(l)) {
    tape.run(experts_op(h, plan.identity, *p.dense_up, *p.dense_down, e.dense_width, b.dense, x_mid, y, dh));
    return;
  }
  tape.run(route_op(l));
  if (record != nullptr) {
    (*record)[static_cast<std::size_t>(l - e.dense_layers_first)].assign(b.routing.expert_TK,
                                                                         b.routing.expert_TK + b.routing.rows());
  }
  ExpertsOp experts = experts_op(h, b.routing, *p.up, *p.down, e.width, b.experts, x_mid, y, dh);
  // Backward reaches the last of the layers that share a bank first.
  if (!last && config.bank_of_layer(l) == config.bank_of_layer(l + 1)) experts.sum = kernels::GradientSum::add;
  tape.run(experts);
  if (e.shared_experts > 0) {
    tape.run(experts_op(h, plan.identity, *p.dense_up, *p.dense_down, e.shared_experts * e.width, b.dense, y, y, dh));
  }
}

RouteOp Network::Impl::route_op(i64 l) {
  const LayerParameters& p = parameters[static_cast<std::size_t>(l)];
  const LayerBuffers& b = plan.layers[static_cast<std::size_t>(l)];
  const i64 source = config.router.previous_layer && l > 0 ? l - 1 : l;  // pre-gating
  const i64 moe = l - config.experts.dense_layers_first;
  const LossConfig& losses = config.losses;
  const float share = losses.balance_average_layers ? 1.0f / static_cast<float>(config.moe_layers()) : 1.0f;
  RouteOp op{};
  op.shape = router_shape(config);
  op.x_TD = mixed(plan.layers[static_cast<std::size_t>(source)].h_ffn_TD, config.d_model);
  op.w_ED = vector(p.router);
  op.bias_E = config.router.bias_rate > 0 ? bias.f32() + moe * config.experts.experts : nullptr;
  op.logits_TE = b.logits_TE;
  op.prob_TE = b.prob_TE;
  op.routing = b.routing;
  op.losses.balance_coefficient = auxiliary_scale * share * static_cast<float>(losses.balance_coefficient);
  op.losses.z_coefficient = auxiliary_scale * share * static_cast<float>(losses.z_coefficient);
  op.replay_TK = replay == nullptr ? nullptr : &replay->at(static_cast<std::size_t>(moe));
  op.result = recording ? &result.layers[static_cast<std::size_t>(moe)] : nullptr;
  op.dgate_TK = plan.dgate_TK;
  op.dlogits_TE = plan.dlogits_TE;
  op.dw_ED = gradient(p.router);
  op.dx_TD = f32(plan.dh_ffn_TD[source % 2], config.d_model);
  return op;
}

ExpertsOp Network::Impl::experts_op(const Matrix& x, const kernels::Routing& routing, const Parameter& up,
                                    const Parameter& down, i64 width, const FfnBuffers& saved, const Matrix& residual,
                                    const Matrix& y, const Matrix& dx) {
  const i64 d = config.d_model, count = routing.rows(), columns = up_columns(config, width);
  ExpertsOp op{};
  op.x_TD = x;
  op.routing = routing;
  op.bank = expert_bank(config, routing.experts, width, compute);
  op.bank.up = weights.compute_data(up);
  op.bank.down = weights.compute_data(down);
  op.saved = {rows(saved.pre, count, columns), rows(saved.hidden, count, width)};
  op.out_RD = {plan.out_RD, DType::f32, std::min(count, plan.out_rows), d, d};
  op.residual_TD = residual;
  op.y_TD = y;
  op.dy_TD = f32(plan.dx_TD, d);
  op.dx_TD = dx;
  op.scratch = {rows(plan.dpre_RU, count, columns), op.out_RD};
  op.dgate_TK = plan.dgate_TK;
  op.dup = gradient(&up);
  op.ddown = gradient(&down);
  op.sum = sum;
  return op;
}

void Network::Impl::final_norm() {
  const i64 d = config.d_model;
  tape.begin_part(false);
  tape.run(NormOp{.x_TD = f32(plan.x_last_TD, d),
                  .gain_D = vector(norm),
                  .epsilon = epsilon(),
                  .y_TD = mixed(plan.h_last_TD, d),
                  .inv_rms_T = plan.inv_rms_last_T,
                  .dy_TD = f32(plan.dh_TD, d),
                  .dx_TD = f32(plan.dx_TD, d),
                  .dgain_D = gradient(norm)});
}

// Clears the gradients that operations only add to: those of the embedding, vectors and routers, which come first.
void Network::Impl::clear_vectors() const {
  const kernels::ProfileScope scope(kernels::Part::embedding, kernels::Direction::backward);
  constexpr i64 kChunk = 1 << 18;
  parallel_for(parallel_chunks(weights.f32_elements, kChunk), [&](i64 chunk, int) {
    const i64 begin = chunk * kChunk;
    std::fill_n(weights.gradient.f32() + begin, std::min(kChunk, weights.f32_elements - begin), 0.0f);
  });
}

// Moves the selected rows (in increasing order) to the front of the residual stream and normalises only them.
Matrix Network::Impl::final_norm_rows(std::span<const i32> selected) {
  const i64 d = config.d_model, count = static_cast<i64>(selected.size());
  Matrix x = f32(plan.x_last_TD, d);
  i64 before = -1;
  for (i64 r = 0; r < count; ++r) {
    const i64 row = selected[static_cast<std::size_t>(r)];
    CHECK(row > before && row < T, "selected rows increase and lie in the batch");
    before = row;
    if (row != r) std::copy_n(x.f32() + row * d, d, x.f32() + r * d);
  }
  x.rows = count;
  const Matrix h = rows(plan.h_last_TD, count, d);
  kernels::rmsnorm_forward(x, vector(norm), epsilon(), h, plan.inv_rms_last_T);
  return h;
}

// The head over the rows that have a target. The kernels' exponential clamps its argument, so NaN among the logits may
// give a finite log-probability: a row that is not finite is marked here.
void Network::Impl::score(std::span<const kernels::HeadTarget> targets, float* logprob, i32* argmax) {
  if (targets.empty()) return;
  scored_rows.clear();
  scored_targets.clear();
  for (const kernels::HeadTarget& target : targets) {
    if (scored_rows.empty() || scored_rows.back() != target.row) scored_rows.push_back(target.row);
    scored_targets.push_back({static_cast<i32>(scored_rows.size()) - 1, target.token});
  }
  const Matrix h = final_norm_rows(scored_rows);
  kernels::head_score(h, packed(*head), scored_targets, logprob, argmax);
  i32 checked = -1;
  bool finite = true;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const i32 row = scored_targets[i].row;
    if (row != checked) finite = row_is_finite(h, row);
    checked = row;
    if (finite && std::isfinite(logprob[i])) continue;
    logprob[i] = std::numeric_limits<float>::quiet_NaN();
    if (argmax != nullptr) argmax[i] = -1;
  }
  trace_head({"logprob", matrix_of(static_cast<const float*>(logprob), static_cast<i64>(targets.size()), 1)});
}

// When scoring, the head is not an operation of the tape; its trace has no time.
void Network::Impl::trace_head(const TraceTensor& tensor) const {
  if (Trace* trace = Trace::current()) trace->write(kernels::Part::head, "forward", config.layers, 0, {tensor});
}

// Sums in double, rows in order.
const PassResult& Network::Impl::finish(std::span<const i32> target_T, const float* loss_T) {
  kernels::workspace_level();
  result.loss_sum = 0;
  result.targets = 0;
  for (i64 t = 0; t < T; ++t) {
    if (target_T[static_cast<std::size_t>(t)] < 0) continue;
    result.loss_sum += static_cast<double>(loss_T[t]);
    ++result.targets;
  }
  return result;
}

Network::Network(ModelConfig config, DType compute, bool training) : impl_(std::make_unique<Impl>()) {
  config.resolve();
  impl_->config = std::move(config);
  impl_->compute = compute;
  impl_->kind.training = training;
  impl_->weights = make_weights(impl_->config, compute, training);
  const ModelConfig& c = impl_->config;
  for (i64 layer = 0; layer < c.layers; ++layer) impl_->parameters.push_back(find_layer(c, impl_->weights, layer));
  impl_->embedding = &impl_->weights.find("embedding");
  impl_->norm = &impl_->weights.find("norm");
  impl_->head = &impl_->weights.find("head");
  if (c.router.bias_rate > 0) impl_->bias = Buffer("selection bias", c.moe_layers() * c.experts.experts * 4);
  impl_->result.layers.resize(static_cast<std::size_t>(c.moe_layers()));
  for (LayerRouting& layer : impl_->result.layers) layer.count_E.resize(static_cast<std::size_t>(c.experts.experts));
}

Network::~Network() = default;

const ModelConfig& Network::config() const { return impl_->config; }
Weights& Network::weights() { return impl_->weights; }
const Weights& Network::weights() const { return impl_->weights; }
void Network::reserve(i64 tokens_max) { impl_->reserve(tokens_max); }

void Network::begin_gradient() { impl_->sum = kernels::GradientSum::overwrite; }

void Network::set_recompute(Recompute recompute) {
  if (recompute == impl_->kind.recompute) return;
  CHECK(impl_->plan.tokens_max == 0, "recomputation is set before the first pass");
  impl_->kind.recompute = recompute;
}

const PassResult& Network::train_pass(const NetworkInput& input, std::span<const i32> target_T, float loss_scale,
                                      float auxiliary_scale, std::span<float> loss_T) {
  Impl& n = *impl_;
  CHECK(n.kind.training, "a network for inference has no gradients");
  CHECK(target_T.size() == input.token_T.size(), "one target for each row");
  n.auxiliary_scale = auxiliary_scale;
  n.begin(input, "train", true);
  float* loss = loss_T.empty() ? n.plan.loss_T : loss_T.data();
  clear_rows(n.f32(n.plan.dx_TD, n.config.d_model));
  if (n.sum == kernels::GradientSum::overwrite) n.clear_vectors();
  n.forward();
  n.final_norm();
  n.tape.run(HeadOp{.x_TD = n.mixed(n.plan.h_last_TD, n.config.d_model),
                    .w = n.packed(*n.head),
                    .target_T = target_T.data(),
                    .scale = loss_scale,
                    .loss_T = loss,
                    .dx_TD = n.f32(n.plan.dh_TD, n.config.d_model),
                    .dw = n.gradient(n.head),
                    .sum = n.sum});
  n.tape.backward();
  n.sum = kernels::GradientSum::add;
  return n.finish(target_T, loss);
}

void Network::score_targets(const NetworkInput& input, std::span<const kernels::HeadTarget> targets,
                            std::span<float> logprob, std::span<i32> argmax) {
  Impl& n = *impl_;
  CHECK(logprob.size() == targets.size() && (argmax.empty() || argmax.size() == targets.size()),
        "one result for each target");
  n.begin(input, "score", false);
  n.forward();
  n.score(targets, logprob.data(), argmax.empty() ? nullptr : argmax.data());
  kernels::workspace_level();
}

void Network::logits_pass(const NetworkInput& input, std::span<const i32> rows, Matrix logits_RV) {
  Impl& n = *impl_;
  const i64 count = static_cast<i64>(rows.size());
  n.begin(input, "logits", false);
  CHECK(count <= n.T && logits_RV.rows == count && logits_RV.cols == n.config.vocab && logits_RV.dtype == DType::f32,
        "one row of logits for each selected row");
  n.forward();
  const Matrix h = n.final_norm_rows(rows);
  kernels::linear_forward(h, n.packed(*n.head), logits_RV, false);
  n.trace_head({"logits_RV", logits_RV});
  kernels::workspace_level();
}

std::span<float> Network::selection_bias() {
  return {impl_->bias.f32(), static_cast<std::size_t>(impl_->bias.bytes() / 4)};
}

void Network::record_routing(std::vector<std::vector<i32>>* record) { impl_->record = record; }
void Network::replay_routing(const std::vector<std::vector<i32>>* record) { impl_->replay = record; }

}  // namespace moebius::model
