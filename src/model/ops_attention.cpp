// Forward and backward of attention's operations.
#include "model/ops_attention.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/adamw.h"
#include "kernels/linear.h"
#include "kernels/norm.h"

namespace moebius::model {

namespace {

constexpr i64 kRowsPerTask = 64;
constexpr i64 kColumnsPerTask = 64;

template <typename F>
void for_row_chunks(i64 rows, const F& body) {
  parallel_for(parallel_chunks(rows, kRowsPerTask),
               [&](i64 task, int) { body(task * kRowsPerTask, std::min(rows, (task + 1) * kRowsPerTask)); });
}

void add_bias(Matrix y_TC, const float* bias_C) {
  for_row_chunks(y_TC.rows, [&](i64 begin, i64 end) {
    for (i64 t = begin; t < end; ++t) {
      float* row = y_TC.f32() + t * y_TC.stride;
      for (i64 c = 0; c < y_TC.cols; ++c) row[c] += bias_C[c];
    }
  });
}

// dbias += sums of columns, rows in order.
void add_column_sums(ConstMatrix dy_TC, float* dbias_C) {
  parallel_for(parallel_chunks(dy_TC.cols, kColumnsPerTask), [&](i64 task, int) {
    const i64 begin = task * kColumnsPerTask, end = std::min(dy_TC.cols, begin + kColumnsPerTask);
    for (i64 t = 0; t < dy_TC.rows; ++t) {
      const float* row = dy_TC.f32() + t * dy_TC.stride;
      for (i64 c = begin; c < end; ++c) dbias_C[c] += row[c];
    }
  });
}

// dst = src where one is f32 and the other the compute dtype.
void convert_rows(ConstMatrix src, Matrix dst) {
  if (src.dtype == DType::f32 && src.stride == src.cols && dst.stride == dst.cols) {
    kernels::convert_from_f32(src.f32(), src.rows * src.cols, dst.data, dst.dtype);
    return;
  }
  for_row_chunks(src.rows, [&](i64 begin, i64 end) {
    for (i64 t = begin; t < end; ++t) {
      if (src.dtype == dst.dtype) {
        std::memcpy(dst.row(t), src.row(t), static_cast<std::size_t>(src.cols * dtype_bytes(src.dtype)));
      } else if (src.dtype == DType::f32) {
        bf16* to = static_cast<bf16*>(dst.row(t));
        const float* from = static_cast<const float*>(src.row(t));
        for (i64 c = 0; c < src.cols; ++c) to[c] = to_bf16(from[c]);
      } else {
        float* to = static_cast<float*>(dst.row(t));
        const bf16* from = static_cast<const bf16*>(src.row(t));
        for (i64 c = 0; c < src.cols; ++c) to[c] = to_float(from[c]);
      }
    }
  });
}

}  // namespace

void copy_rows(ConstMatrix src, Matrix dst) {
  if (src.data == dst.data) return;
  const kernels::ProfileScope scope(kernels::Part::residual);
  for_row_chunks(src.rows, [&](i64 begin, i64 end) {
    for (i64 t = begin; t < end; ++t) std::memcpy(dst.row(t), src.row(t), static_cast<std::size_t>(src.cols) * 4);
  });
}

void clear_rows(Matrix m) {
  for_row_chunks(m.rows, [&](i64 begin, i64 end) {
    for (i64 t = begin; t < end; ++t) std::memset(m.row(t), 0, static_cast<std::size_t>(m.cols * dtype_bytes(m.dtype)));
  });
}

void NormOp::forward() const { kernels::rmsnorm_forward(x_TD, gain_D, epsilon, y_TD, inv_rms_T); }

void NormOp::backward() const { kernels::rmsnorm_backward(dy_TD, x_TD, gain_D, inv_rms_T, dx_TD, dgain_D, dy_TD); }

// Query heads, then key heads, each normalised alone; or all query heads at once and all key heads at once.
void QueryKeyValueOp::normalise() const {
  const i64 hd = config->head_dim, heads = config->heads, kv = config->kv_heads, rows = raw_TC.rows;
  if (config->qk_norm_whole) {
    kernels::rmsnorm_forward(raw_TC.part(0, rows, 0, heads * hd), query_gain, epsilon,
                             qkv_TC.part(0, rows, 0, heads * hd), inv_rms_qk);
    kernels::rmsnorm_forward(raw_TC.part(0, rows, heads * hd, kv * hd), key_gain, epsilon,
                             qkv_TC.part(0, rows, heads * hd, kv * hd), inv_rms_qk + rows);
    return;
  }
  for (i64 h = 0; h < heads + kv; ++h) {
    kernels::rmsnorm_forward(raw_TC.part(0, rows, h * hd, hd), h < heads ? query_gain : key_gain, epsilon,
                             qkv_TC.part(0, rows, h * hd, hd), inv_rms_qk + h * rows);
  }
}

void QueryKeyValueOp::forward() const {
  const i64 hd = config->head_dim, q_width = config->heads * hd, kv_width = config->kv_heads * hd, rows = x_TD.rows;
  if (raw_TC.data == nullptr) {
    kernels::linear_forward(x_TD, w, qkv_TC, false);
  } else {
    kernels::linear_forward(x_TD, w, raw_TC, false);
    if (bias != nullptr) add_bias(raw_TC, bias);
    if (query_gain != nullptr) {
      normalise();
      const i64 at = q_width + kv_width;
      convert_rows(raw_TC.part(0, rows, at, kv_width), qkv_TC.part(0, rows, at, kv_width));
    } else {
      convert_rows(raw_TC, qkv_TC);
    }
  }
  const kernels::ProfileScope scope(kernels::Part::rope);
  // Queries' heads and keys' lie side by side.
  kernels::rope_apply(qkv_TC.part(0, rows, 0, q_width + kv_width), config->heads + config->kv_heads, hd, position_T,
                      frequency, false);
}

// draw = gradient of raw; it starts as zero under queries and keys, because the norm's backward adds.
void QueryKeyValueOp::normalise_backward() const {
  const i64 hd = config->head_dim, heads = config->heads, kv = config->kv_heads, rows = raw_TC.rows;
  clear_rows(draw_TC.part(0, rows, 0, (heads + kv) * hd));
  const i64 groups = config->qk_norm_whole ? 2 : heads + kv;
  for (i64 g = 0; g < groups; ++g) {
    const bool query = config->qk_norm_whole ? g == 0 : g < heads;
    const i64 at = config->qk_norm_whole ? (query ? 0 : heads * hd) : g * hd;
    const i64 width = config->qk_norm_whole ? (query ? heads : kv) * hd : hd;
    kernels::rmsnorm_backward(dqkv_TC.part(0, rows, at, width), raw_TC.part(0, rows, at, width),
                              query ? query_gain : key_gain, inv_rms_qk + g * rows, draw_TC.part(0, rows, at, width),
                              query ? dquery_gain : dkey_gain);
  }
  const i64 at = (heads + kv) * hd;
  convert_rows(dqkv_TC.part(0, rows, at, kv * hd), draw_TC.part(0, rows, at, kv * hd));
}

void QueryKeyValueOp::backward() const {
  const i64 hd = config->head_dim, q_width = config->heads * hd, kv_width = config->kv_heads * hd, rows = x_TD.rows;
  {
    const kernels::ProfileScope scope(kernels::Part::rope);
    kernels::rope_apply(dqkv_TC.part(0, rows, 0, q_width + kv_width), config->heads + config->kv_heads, hd, position_T,
                        frequency, true);
  }
  if (raw_TC.data != nullptr) {
    if (query_gain != nullptr) {
      normalise_backward();
    } else {
      convert_rows(dqkv_TC, draw_TC);
    }
    if (bias != nullptr) add_column_sums(draw_TC, dbias);
    convert_rows(draw_TC, dqkv_TC);
  }
  {
    const kernels::ProfileScope scope(kernels::Direction::weight_gradient);
    kernels::linear_backward_weight(dqkv_TC, x_TD, w.shape, dw, sum);
  }
  kernels::linear_backward_input(dqkv_TC, w, dx_TD, true);
}

void AttentionSegments::reserve(i64 segments) { alone.reserve(static_cast<std::size_t>(segments)); }

void AttentionSegments::clear() {
  alone.clear();
  cached.clear();
  prefixes.clear();
  sharing.clear();
}

void AttentionOp::fill_segments() const {
  const i64 size = dtype_bytes(qkv_TC.dtype), q_width = shape.heads * shape.head_dim,
            kv_width = shape.kv_heads * shape.head_dim;
  AttentionSegments& lists = *scratch;
  lists.clear();
  for (const Segment& segment : segments) {
    if (segment.cache != nullptr) {
      const KvSlot& slot = *segment.cache;
      u8* data = static_cast<u8*>(slot.data) + layer * slot.layer_stride * size;
      lists.cached.push_back({segment.row, segment.rows, slot.positions, slot.positions_max, data});
    } else if (segment.prefix_rows > 0) {
      const auto count = static_cast<i64>(lists.sharing.size());
      const bool same = !lists.prefixes.empty() && lists.prefixes.back().row == segment.prefix_row &&
                        lists.prefixes.back().rows == segment.prefix_rows;
      if (!same) lists.prefixes.push_back({segment.prefix_row, segment.prefix_rows, count, 0});
      ++lists.prefixes.back().count;
      lists.sharing.push_back({segment.row, segment.rows});
    } else {
      const u8* row = static_cast<const u8*>(qkv_TC.row(segment.row));
      lists.alone.push_back({segment.row, segment.rows, row + q_width * size, row + (q_width + kv_width) * size,
                             qkv_TC.stride, segment.rows});
    }
  }
}

void AttentionOp::forward() const {
  fill_segments();
  const Matrix q_TA = qkv_TC.part(0, qkv_TC.rows, 0, shape.heads * shape.head_dim);
  if (!scratch->alone.empty()) {
    lse_TH != nullptr ? kernels::attention_forward(shape, q_TA, scratch->alone, out_TA, lse_TH)
                      : kernels::attention_uncached(shape, q_TA, scratch->alone, out_TA);
  }
  if (!scratch->cached.empty()) kernels::attention_cached(shape, qkv_TC, scratch->cached, out_TA);
  if (!scratch->prefixes.empty()) kernels::attention_shared(shape, qkv_TC, scratch->prefixes, scratch->sharing, out_TA);
}

void AttentionOp::backward() const {
  fill_segments();
  const i64 rows = qkv_TC.rows, q_width = shape.heads * shape.head_dim, kv_width = shape.kv_heads * shape.head_dim;
  kernels::attention_backward(shape, qkv_TC.part(0, rows, 0, q_width), scratch->alone, out_TA, dout_TA, lse_TH,
                              dqkv_TC.part(0, rows, 0, q_width), dqkv_TC.part(0, rows, q_width, kv_width),
                              dqkv_TC.part(0, rows, q_width + kv_width, kv_width));
}

void OutputOp::forward() const {
  copy_rows(x_TD, y_TD);
  kernels::linear_forward(mixed_TA, w, y_TD, true);
}

void OutputOp::backward() const {
  Matrix dy = dx_TD;
  if (dx_compute_TD.data != nullptr) {
    convert_rows(dx_TD, dx_compute_TD);
    dy = dx_compute_TD;
  }
  {
    const kernels::ProfileScope scope(kernels::Direction::weight_gradient);
    kernels::linear_backward_weight(dy, mixed_TA, w.shape, dw, sum);
  }
  kernels::linear_backward_input(dy, w, dmixed_TA, false);
}

}  // namespace moebius::model
