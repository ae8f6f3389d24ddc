// Small products and a small head of attention in static memory; nothing is allocated between fork and exit.
#include "kernels/tile_check.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>

#include "kernels/packed.h"

namespace moebius::kernels {

namespace {

constexpr i64 kRows = 40, kInner = 64, kPreparedBytes = 1 << 16;

struct Operands {
  bf16 x[kRows * kInner];
  bf16 panel[2 * kBlockElements];  // 32 outputs x 64 inputs
  const void* rows[kRows];
};

void fill(Operands& operands) {
  u32 state = 1;
  const auto next = [&state] {
    state = state * 1664525u + 1013904223u;  // any numbers do; they need not be random
    return to_bf16(static_cast<float>(state >> 16) / 32768.0f - 1.0f);
  };
  for (bf16& v : operands.x) v = next();
  for (bf16& v : operands.panel) v = next();
  for (i64 r = 0; r < kRows; ++r) operands.rows[r] = operands.x + r * kInner;
}

bool multiply_rows(const OpTable& table, const Operands& operands, float* out) {
  alignas(64) static u8 prepared[kPreparedBytes];
  const TypedOps& ops = table.typed[1];
  RowsProduct product;
  product.rows = operands.rows;
  if (ops.prepare != nullptr) {
    if (ops.prepare_bytes(kRows, kInner) > kPreparedBytes) return false;
    ops.prepare(operands.rows, kRows, kInner, prepared);
    product.prepared = prepared;
  }
  product.num_rows = kRows;
  product.k = kInner;
  product.panels = operands.panel;
  product.panel_stride = 2 * kBlockElements;
  product.cols = kBlock;
  product.out = out;
  product.out_stride = kBlock;
  ops.rows(product);
  return true;
}

void multiply_pairs(const OpTable& table, const Operands& operands, float* out) {
  alignas(64) static u8 left[kRows * 128], right[kRows * 128];
  const TypedOps& ops = table.typed[1];
  ops.interleave_left(operands.rows, kRows, 0, kBlock, left);
  ops.interleave(operands.rows, kRows, kBlock, kBlock, right);
  PairsProduct product;
  product.left = left;
  product.right = right;
  product.pairs = (kRows + 1) / 2;
  product.out = out;
  product.out_stride = kBlock;
  ops.pairs(product);
}

// A head of 40 rows with 32 columns: operands and results side by side in rows of kInner.
constexpr i64 kHeadDim = 32, kHeadBytes = 1 << 18;
struct HeadResults {
  bf16 out[kRows * kHeadDim], dq[kRows * kHeadDim], dk[kRows * kHeadDim], dv[kRows * kHeadDim];
  float lse[kRows];
};

// Queries and keys are the rows' halves, values and gradients their neighbours' ones.
bool attend(const OpTable& table, const Operands& operands, HeadResults& results) {
  alignas(64) static u8 scratch[kHeadBytes];
  const TypedOps& ops = table.typed[1];
  results = {};  // of the check before
  HeadAttention a;
  a.rows = a.keys = kRows - 1;
  a.dim = kHeadDim;
  a.scale = 0.5f;
  a.q = operands.x;
  a.k = operands.x + kHeadDim;
  a.v = operands.x + kInner;
  a.dout = operands.x + kInner + kHeadDim;
  a.q_stride = a.kv_stride = a.dout_stride = kInner;
  a.out = results.out;
  a.dq = results.dq;
  a.dk = results.dk;
  a.dv = results.dv;
  a.out_stride = a.dq_stride = a.dkv_stride = kHeadDim;
  a.lse = results.lse;
  a.lse_stride = 1;
  if (ops.head_forward(a) > kHeadBytes || ops.head_backward(a) > kHeadBytes) return false;
  a.scratch = scratch;
  ops.head_forward(a);
  ops.head_backward(a);
  return true;
}

bool close(const float* a, const float* b, i64 count) {
  for (i64 i = 0; i < count; ++i) {
    // Sums of at most 64 products below 1: other orders of f32 summation differ by less than this.
    if (!(std::fabs(a[i] - b[i]) < 1e-3f)) return false;
  }
  return true;
}

// Attention's results stay below 2, where neighbours of bf16 are at most 2^-7 apart.
bool close(const bf16* a, const bf16* b) {
  for (i64 i = 0; i < (kRows - 1) * kHeadDim; ++i) {
    const float x = to_float(a[i]), y = to_float(b[i]);
    if (!(std::fabs(x - y) <= 0.01f + 0.01f * std::fabs(x))) return false;
  }
  return true;
}

bool heads_agree(const OpTable& table, const OpTable& other, const Operands& operands) {
  static HeadResults a, b;
  if (!attend(table, operands, a) || !attend(other, operands, b)) return false;
  return close(a.lse, b.lse, kRows - 1) && close(a.out, b.out) && close(a.dq, b.dq) && close(a.dk, b.dk) &&
         close(a.dv, b.dv);
}

}  // namespace

bool products_agree(const OpTable& table, const OpTable& other) {
  alignas(64) static Operands operands;
  alignas(64) static float a[kRows * kBlock], b[kRows * kBlock], c[kBlockElements], d[kBlockElements];
  fill(operands);
  if (!multiply_rows(table, operands, a) || !multiply_rows(other, operands, b)) return false;
  for (i64 i = 0; i < kBlockElements; ++i) c[i] = d[i] = 0;
  multiply_pairs(table, operands, c);
  multiply_pairs(other, operands, d);
  return close(a, b, kRows * kBlock) && close(c, d, kBlockElements) && heads_agree(table, other, operands);
}

// The answer comes through a pipe, since the child's status is lost where SIGCHLD is ignored.
bool holds_in_child(bool (*check)()) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return false;
  const pid_t child = ::fork();
  if (child == 0) {
    if (check()) ::_exit(::write(ends[1], "y", 1) == 1 ? 0 : 1);
    ::_exit(1);
  }
  ::close(ends[1]);
  char answer = 'n';
  ssize_t got = 0;
  while (child > 0 && (got = ::read(ends[0], &answer, 1)) < 0 && errno == EINTR) {}
  ::close(ends[0]);
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {}
  return got == 1 && answer == 'y';
}

}  // namespace moebius::kernels
