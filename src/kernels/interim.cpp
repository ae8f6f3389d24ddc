// Every op by the reference: correct and slow, until the tables of the instruction sets stand.
#include "kernels/reference/reference.h"

namespace moebius::kernels {
void linear_forward(ConstMatrix x_TK, const PackedWeight& w, Matrix y_TN, bool accumulate) { return reference::linear_forward(x_TK, w, y_TN, accumulate); }
void linear_backward_input(ConstMatrix dy_TN, const PackedWeight& w, Matrix dx_TK, bool accumulate) { return reference::linear_backward_input(dy_TN, w, dx_TK, accumulate); }
void linear_backward_weight(ConstMatrix dy_TN, ConstMatrix x_TK, PackedShape shape, float* dw) { return reference::linear_backward_weight(dy_TN, x_TK, shape, dw); }
void experts_forward(ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank, const ExpertSaved& saved,
                     Matrix out_RD, Matrix y_TD) { return reference::experts_forward(x_TD, routing, bank, saved, out_RD, y_TD); }
void experts_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const Routing& routing, const ExpertBank& bank,
                      const ExpertSaved& saved, const ExpertBackwardScratch& scratch, Matrix dx_TD, float* dgate_TK,
                      float* dup, float* ddown) { return reference::experts_backward(dy_TD, x_TD, routing, bank, saved, scratch, dx_TD, dgate_TK, dup, ddown); }
void attention_forward(const AttentionShape& shape, ConstMatrix q_TH, std::span<const AttentionSegment> segments,
                       Matrix out_TH, float* lse_TH) { return reference::attention_forward(shape, q_TH, segments, out_TH, lse_TH); }
void attention_backward(const AttentionShape& shape, ConstMatrix q_TH, std::span<const AttentionSegment> segments,
                        ConstMatrix out_TH, ConstMatrix dout_TH, const float* lse_TH, Matrix dq_TH, Matrix dk_TG,
                        Matrix dv_TG) { return reference::attention_backward(shape, q_TH, segments, out_TH, dout_TH, lse_TH, dq_TH, dk_TG, dv_TG); }
void rope_apply(Matrix x_TH, i64 heads, i64 head_dim, const i32* position_T, const float* frequency_h, bool inverse) { return reference::rope_apply(x_TH, heads, head_dim, position_T, frequency_h, inverse); }
void embedding_forward(const float* table_VD, const i32* token_T, Matrix x_TD) { return reference::embedding_forward(table_VD, token_T, x_TD); }
void embedding_backward(const i32* token_T, ConstMatrix dx_TD, float* dtable_VD) { return reference::embedding_backward(token_T, dx_TD, dtable_VD); }
void head_loss(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float scale, float* loss_T,
               Matrix dx_TD, float* dw) { return reference::head_loss(x_TD, w_VD, target_T, scale, loss_T, dx_TD, dw); }
void head_score(ConstMatrix x_TD, const PackedWeight& w_VD, const i32* target_T, float* logprob_T, i32* argmax_T) { return reference::head_score(x_TD, w_VD, target_T, logprob_T, argmax_T); }
void rmsnorm_forward(ConstMatrix x_TD, const float* gain_D, float eps, Matrix y_TD, float* inv_rms_T) { return reference::rmsnorm_forward(x_TD, gain_D, eps, y_TD, inv_rms_T); }
void rmsnorm_backward(ConstMatrix dy_TD, ConstMatrix x_TD, const float* gain_D, const float* inv_rms_T, Matrix dx_TD,
                      float* dgain_D) { return reference::rmsnorm_backward(dy_TD, x_TD, gain_D, inv_rms_T, dx_TD, dgain_D); }
void route_forward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* selection_bias_E,
                   float* logits_TE, float* prob_TE, Routing& routing) { return reference::route_forward(x_TD, w_ED, shape, selection_bias_E, logits_TE, prob_TE, routing); }
void dispatch_tokens(Routing& routing) { return reference::dispatch_tokens(routing); }
RouterLosses router_losses(const RouterShape& shape, const float* logits_TE, const float* prob_TE,
                           const Routing& routing, const i64* count_E, i64 count_tokens) { return reference::router_losses(shape, logits_TE, prob_TE, routing, count_E, count_tokens); }
void route_backward(ConstMatrix x_TD, const float* w_ED, const RouterShape& shape, const float* logits_TE,
                    const float* prob_TE, const Routing& routing, const float* dgate_TK,
                    const RouterLossGradients& losses, float* dlogits_TE, float* dw_ED, Matrix dx_TD) { return reference::route_backward(x_TD, w_ED, shape, logits_TE, prob_TE, routing, dgate_TK, losses, dlogits_TE, dw_ED, dx_TD); }
void adamw_update(const AdamwStep& step, i64 count, float* master, float* m, float* v, float* gradient, void* copy,
                  DType copy_dtype) { return reference::adamw_update(step, count, master, m, v, gradient, copy, copy_dtype); }
double sum_of_squares(const float* values, i64 count) { return reference::sum_of_squares(values, count); }
void convert_from_f32(const float* src, i64 count, void* dst, DType dst_dtype) { return reference::convert_from_f32(src, count, dst, dst_dtype); }
}
