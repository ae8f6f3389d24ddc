// Reference attention and rotary positions: plain loops in double over (segment, head, query, key).
// In and out as kernels/attention.h. Not for use outside tests.
#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace moebius::kernels::reference {

namespace {

// One head of one segment in double.
struct HeadView {
  const AttentionShape& shape;
  const AttentionSegment& segment;
  ConstMatrix q_TA;
  i64 head;

  i64 kv_head() const { return head / (shape.heads / shape.kv_heads); }
  i64 position(i64 i) const { return segment.kv_rows - segment.rows + i; }
  i64 first_key(i64 i) const { return shape.window > 0 ? std::max<i64>(0, position(i) - shape.window + 1) : 0; }
  double q(i64 i, i64 h) const { return at(q_TA, segment.row + i, head * shape.head_dim + h); }
  double key(i64 p, i64 h) const {
    return element(segment.k, q_TA.dtype, p * segment.kv_stride + kv_head() * shape.head_dim + h);
  }
  double value(i64 p, i64 h) const {
    return element(segment.v, q_TA.dtype, p * segment.kv_stride + kv_head() * shape.head_dim + h);
  }
  // Probabilities of query i over keys [first_key, position]; returns the log-sum-exp.
  double probabilities(i64 i, std::vector<double>& prob) const {
    const i64 last = position(i);
    prob.assign(static_cast<size_t>(last + 1), 0.0);
    double largest = -1e300;
    for (i64 p = first_key(i); p <= last; ++p) {
      double score = 0;
      for (i64 h = 0; h < shape.head_dim; ++h) score += q(i, h) * key(p, h);
      prob[p] = score * shape.scale;
      largest = std::max(largest, prob[p]);
    }
    double sum = 0;
    for (i64 p = first_key(i); p <= last; ++p) sum += std::exp(prob[p] - largest);
    const double lse = largest + std::log(sum);
    for (i64 p = first_key(i); p <= last; ++p) prob[p] = std::exp(prob[p] - lse);
    return lse;
  }
};

}  // namespace

void attention_forward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                       Matrix out_TA, float* lse_TH) {
  std::vector<double> prob;
  for (const AttentionSegment& segment : segments)
    for (i64 head = 0; head < shape.heads; ++head) {
      const HeadView view{shape, segment, q_TA, head};
      for (i64 i = 0; i < segment.rows; ++i) {
        const double lse = view.probabilities(i, prob);
        if (lse_TH != nullptr) lse_TH[(segment.row + i) * shape.heads + head] = static_cast<float>(lse);
        for (i64 h = 0; h < shape.head_dim; ++h) {
          double sum = 0;
          for (i64 p = view.first_key(i); p <= view.position(i); ++p) sum += prob[p] * view.value(p, h);
          put(out_TA, segment.row + i, head * shape.head_dim + h, sum);
        }
      }
    }
}

namespace {

// Adds one head's gradients to dq, dk, dv of the segment ([rows][head_dim] doubles).
void head_backward(const HeadView& view, ConstMatrix out_TA, ConstMatrix dout_TA, std::vector<double>& dq,
                   std::vector<double>& dk, std::vector<double>& dv) {
  const i64 dim = view.shape.head_dim;
  std::vector<double> prob;
  for (i64 i = 0; i < view.segment.rows; ++i) {
    view.probabilities(i, prob);
    const i64 row = view.segment.row + i;
    double delta = 0;
    for (i64 h = 0; h < dim; ++h) delta += at(out_TA, row, view.head * dim + h) * at(dout_TA, row, view.head * dim + h);
    for (i64 p = view.first_key(i); p <= view.position(i); ++p) {
      double dp = 0;
      for (i64 h = 0; h < dim; ++h) {
        const double dout = at(dout_TA, row, view.head * dim + h);
        dp += dout * view.value(p, h);
        dv[p * dim + h] += prob[p] * dout;
      }
      const double ds = prob[p] * (dp - delta) * view.shape.scale;
      for (i64 h = 0; h < dim; ++h) {
        dq[i * dim + h] += ds * view.key(p, h);
        dk[p * dim + h] += ds * view.q(i, h);
      }
    }
  }
}

void put_head(const Matrix& m, i64 row, i64 col, i64 dim, const std::vector<double>& values) {
  for (i64 i = 0; i * dim < static_cast<i64>(values.size()); ++i)
    for (i64 h = 0; h < dim; ++h) put(m, row + i, col + h, values[i * dim + h]);
}

}  // namespace

void attention_backward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TA, ConstMatrix dout_TA, const float*, Matrix dq_TA, Matrix dk_TG,
                        Matrix dv_TG) {
  const i64 dim = shape.head_dim, group = shape.heads / shape.kv_heads;
  for (const AttentionSegment& segment : segments)
    for (i64 kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
      const size_t count = static_cast<size_t>(segment.rows * dim);
      std::vector<double> dk(count), dv(count);
      for (i64 head = kv_head * group; head < (kv_head + 1) * group; ++head) {
        std::vector<double> dq(count);
        head_backward({shape, segment, q_TA, head}, out_TA, dout_TA, dq, dk, dv);
        put_head(dq_TA, segment.row, head * dim, dim, dq);
      }
      put_head(dk_TG, segment.row, kv_head * dim, dim, dk);
      put_head(dv_TG, segment.row, kv_head * dim, dim, dv);
    }
}

void rope_apply(Matrix x_TA, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse) {
  const i64 half = head_dim / 2;
  for (i64 t = 0; t < x_TA.rows; ++t)
    for (i64 head = 0; head < heads; ++head)
      for (i64 i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position_T[t]) * frequency_h[i] * (inverse ? -1.0 : 1.0);
        const i64 col = head * head_dim + i;
        const double a = at(x_TA, t, col), b = at(x_TA, t, col + half);
        put(x_TA, t, col, a * std::cos(angle) - b * std::sin(angle));
        put(x_TA, t, col + half, b * std::cos(angle) + a * std::sin(angle));
      }
}

}  // namespace moebius::kernels::reference
