// Block-level operations of attention: norm, query-key-value projection with rotary positions, attention, output
// projection. Each holds views of what it reads and writes and has its hand-written backward next to its forward.
// Operations add to the gradients of the residual stream (dx) and of normalised inputs (dh); the consumer of a dh clears it.
#pragma once

#include <span>
#include <vector>

#include "kernels/attention.h"
#include "kernels/attention_cache.h"
#include "kernels/packed.h"
#include "kernels/profile.h"
#include "model/network.h"
#include "tensor/view.h"

namespace moebius::model {

// y = RMSNorm(x) * gain
struct NormOp {
  Matrix x_TD;
  const float* gain_D;
  float epsilon;
  Matrix y_TD;
  float* inv_rms_T;
  Matrix dy_TD;  // cleared after use
  Matrix dx_TD;
  float* dgain_D;

  kernels::Part part() const { return kernels::Part::norm; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"y_TD", y_TD}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dx_TD", dx_TD}, {"dgain_D", matrix_of(static_cast<const float*>(dgain_D), 1, x_TD.cols)}});
  }
  void forward() const;
  void backward() const;
};

// qkv = rope(norm(x w^T + bias))
struct QueryKeyValueOp {
  const AttentionConfig* config;
  float epsilon;
  Matrix x_TD;
  kernels::PackedWeight w;
  const float* bias;                   // null: none
  const float *query_gain, *key_gain;  // null: no QK-norm
  Matrix raw_TC;                       // f32; data null without bias and QK-norm
  float* inv_rms_qk;
  Matrix qkv_TC;
  const i32* position_T;
  const float* frequency;
  Matrix dqkv_TC, draw_TC;
  Matrix dx_TD;
  float *dw, *dbias, *dquery_gain, *dkey_gain;
  kernels::GradientSum sum;  // of dw

  kernels::Part part() const { return kernels::Part::query_key_value; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"qkv_TC", qkv_TC}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dx_TD", dx_TD}, {"dw", matrix_of(static_cast<const float*>(dw), 1, w.shape.elements())}});
  }
  void forward() const;
  void backward() const;

 private:
  void normalise() const;
  void normalise_backward() const;
};

// The segments of a pass in the form of the kernels: plain ones, those with a cache, those with a shared prefix.
struct AttentionSegments {
  std::vector<kernels::AttentionSegment> alone;
  std::vector<kernels::CachedSegment> cached;
  std::vector<kernels::SharedPrefix> prefixes;
  std::vector<kernels::SharingSegment> sharing;
  void reserve(i64 segments);  // those of training
  void clear();
};

// out = attention of each segment with itself, or with its cache, to which its keys and values are appended first, or
// with its shared prefix.
struct AttentionOp {
  kernels::AttentionShape shape;
  i64 layer;
  Matrix qkv_TC;
  std::span<const Segment> segments;
  AttentionSegments* scratch;
  Matrix out_TA;
  float* lse_TH;
  Matrix dout_TA, dqkv_TC;

  kernels::Part part() const { return kernels::Part::attention; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"out_TA", out_TA}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dqkv_TC", dqkv_TC}});
  }
  void forward() const;
  void backward() const;

 private:
  void fill_segments() const;
};

// y = x + mixed w^T
struct OutputOp {
  Matrix mixed_TA;
  kernels::PackedWeight w;
  Matrix x_TD, y_TD;  // may be the same
  Matrix dx_TD;       // gradient of y and of x: the residual stream's
  Matrix dx_compute_TD;
  Matrix dmixed_TA;
  float* dw;
  kernels::GradientSum sum;

  kernels::Part part() const { return kernels::Part::output; }
  template <typename Write>
  void outputs(Write write) const {
    write({{"y_TD", y_TD}});
  }
  template <typename Write>
  void gradients(Write write) const {
    write({{"dmixed_TA", dmixed_TA}, {"dw", matrix_of(static_cast<const float*>(dw), 1, w.shape.elements())}});
  }
  void forward() const;
  void backward() const;
};

// dst = src, all rows, f32; nothing when they are the same place.
void copy_rows(ConstMatrix src, Matrix dst);
void clear_rows(Matrix m);

}  // namespace moebius::model
