// The oracle of every kernel: the same signatures as the op headers, plain loops, accumulation in double.
// Never optimised, never called outside tests. Operands and outputs keep their stored precision (bf16 or f32).
#pragma once

#include <span>
#include <vector>

#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/experts.h"
#include "kernels/head.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/routing.h"

namespace moebius::kernels::reference {

// One element of a matrix or of a flat array of the given type, as double, and back (rounded to nearest even).
double element(const void* data, DType dtype, i64 index);
void set_element(void* data, DType dtype, i64 index, double value);
inline double at(const ConstMatrix& m, i64 r, i64 c) { return element(m.data, m.dtype, r * m.stride + c); }
inline void put(const Matrix& m, i64 r, i64 c, double v) { set_element(m.data, m.dtype, r * m.stride + c, v); }
// Packed weight as [n][k] doubles.
std::vector<double> unpacked(const void* data, DType dtype, PackedShape shape);

void linear_forward(ConstMatrix x_TI, const PackedWeight& w, Matrix y_TN, bool accumulate);
void linear_backward_input(ConstMatrix dy_TN, const PackedWeight& w, Matrix dx_TI, bool accumulate);
void linear_backward_weight(ConstMatrix dy_TN, ConstMatrix x_TI, PackedShape shape, float* dw);

void experts_forward(ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank, const ExpertSaved& saved,
                     Matrix out_RD, Matrix y_TD);
void experts_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank,
                      const ExpertSaved& saved, const ExpertBackwardScratch& scratch, Matrix dx_TD, float* dgate_TK,
                      float* dup, float* ddown);

void attention_forward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                       Matrix out_TA, float* lse_TH);
void attention_backward(const AttentionShape& shape, ConstMatrix q_TA, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TA, ConstMatrix dout_TA, const float* lse_TH, Matrix dq_TA, Matrix dk_TG,
                        Matrix dv_TG);
void rope_apply(Matrix x_TA, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse);

void embedding_forward(const float* table_VD, const i32* token_T, Matrix x_TD);
void embedding_backward(const i32* token_T, ConstMatrix dx_TD, float* dtable_VD);
void head_loss(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float scale, float* loss_T,
               Matrix dx_TD, float* dw);
void head_score(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float* logprob_T, i32* argmax_T);

void rmsnorm_forward(ConstMatrix x_TD, const float* gain_D, float eps, Matrix y_TD, float* inv_rms_T);
void rmsnorm_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const float* gain_D, const float* inv_rms_T, Matrix dx_TD,
                      float* dgain_D);

void route_forward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* selection_bias_E,
                   float* logits_TE, float* prob_TE, Routing& routing);
void dispatch_tokens(Routing& routing);
RouterLosses router_losses(const RouterShape& shape, const float* logits_TE, const float* prob_TE,
                           const Routing& routing);
void route_backward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* logits_TE,
                    const float* prob_TE, const Routing& routing, const float* dgate_TK,
                    const RouterLossGradients& losses, float* dlogits_TE, float* dw_ED, Matrix dx_TD);

void adamw_update(const AdamwStep& step, i64 count, float* master, float* m, float* v, const float* gradient,
                  void* copy, DType copy_dtype);
double sum_of_squares(const float* values, i64 count);
void convert_from_f32(const float* src, i64 count, void* dst, DType dst_dtype);

}  // namespace moebius::kernels::reference
