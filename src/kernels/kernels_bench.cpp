// Times the kernels on training shapes beside the measured roof: median of repeats, GFLOP/s and share of the roof.
// In: set (auto by default), number of repeats, threads. Out: a table on standard error. Not a test and not `moebius bench`.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "base/parallel.h"
#include "base/rng.h"
#include "kernels/adamw.h"
#include "kernels/attention.h"
#include "kernels/experts.h"
#include "kernels/head.h"
#include "kernels/isa.h"
#include "kernels/linear.h"
#include "kernels/norm.h"
#include "kernels/roof.h"
#include "kernels/routing.h"
#include "tensor/buffer.h"

namespace moebius::kernels {
namespace {

// Time on the clock; with one thread the time that the processor gave us, which bears a busy machine better.
double seconds() {
  timespec now{};
  clock_gettime(parallel_threads() == 1 ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

struct Bench {
  int repeats = 9;
  DType dtype = DType::bf16;
  double roof = 0;

  void run(const std::string& name, double flops, const std::function<void()>& work) const {
    std::vector<double> times;
    work();
    for (int i = 0; i < repeats; ++i) {
      const double begin = seconds();
      work();
      times.push_back(seconds() - begin);
    }
    std::sort(times.begin(), times.end());
    const double median = times[times.size() / 2], rate = flops / median;
    fmt::print(stderr, "{:<58} {:>9.3f} ms {:>8.1f} GFLOP/s {:>5.1f} % (best {:.1f} %)\n", name, median * 1e3, rate / 1e9,
               100 * rate / roof, 100 * flops / times[0] / roof);
  }
};

// Memory filled with small random numbers.
struct Operand {
  Buffer memory;
  Matrix view;
  Operand(DType dtype, i64 rows, i64 cols, double scale = 0.5)
      : memory("bench", std::max<i64>(64, rows * cols * dtype_bytes(dtype))),
        view{memory.data(), dtype, rows, cols, cols} {
    std::vector<float> values(1 << 12);
    for (size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(scale) * rng_normal_at(1, RngStream::benchmark, 0, i);
    for (i64 at = 0; at < rows * cols; at += 1 << 12)
      convert_from_f32(values.data(), std::min<i64>(1 << 12, rows * cols - at),
                       static_cast<u8*>(memory.data()) + at * dtype_bytes(dtype), dtype);
  }
};

void bench_linear(const Bench& bench, i64 tokens, i64 n, i64 k) {
  const PackedShape shape{n, k};
  const Operand w(bench.dtype, 1, shape.elements(), 0.05), x(bench.dtype, tokens, k), y(bench.dtype, tokens, n);
  Operand out(bench.dtype, tokens, n), dx(bench.dtype, tokens, k), dw(DType::f32, 1, shape.elements());
  const PackedWeight weight{w.memory.data(), bench.dtype, shape};
  const double flops = 2.0 * static_cast<double>(tokens * n) * static_cast<double>(k);
  const std::string name = fmt::format("T={} n={} k={}", tokens, n, k);
  bench.run("linear forward         " + name, flops, [&] { linear_forward(x.view, weight, out.view, false); });
  bench.run("linear backward input  " + name, flops, [&] { linear_backward_input(y.view, weight, dx.view, false); });
  bench.run("linear backward weight " + name, flops,
            [&] { linear_backward_weight(y.view, x.view, shape, dw.memory.f32()); });
}

void bench_experts(const Bench& bench, i64 tokens, i64 d, i64 width, i64 experts, i64 top_k) {
  const i64 rows = tokens * top_k;
  std::vector<i32> expert(static_cast<size_t>(rows)), offset(static_cast<size_t>(experts + 1)), token = expert,
      slot = expert, row = expert;
  std::vector<float> gate(static_cast<size_t>(rows), 0.5f), dgate(gate.size());
  for (i64 i = 0; i < rows; ++i) expert[static_cast<size_t>(i)] = static_cast<i32>((i * 7 + i / top_k) % experts);
  Routing routing{tokens, top_k, experts, expert.data(), gate.data(), offset.data(), token.data(), slot.data(), row.data()};
  dispatch_tokens(routing);
  ExpertBank bank;
  bank.experts = experts;
  bank.d_model = d;
  bank.width = width;
  bank.dtype = bench.dtype;
  const i64 up_n = bank.up_shape().n;
  const Operand up(bench.dtype, experts, bank.up_shape().elements(), 0.05);
  const Operand down(bench.dtype, experts, bank.down_shape().elements(), 0.05);
  bank.up = up.memory.data();
  bank.down = down.memory.data();
  Operand x(bench.dtype, tokens, d), dy(bench.dtype, tokens, d), pre(bench.dtype, rows, up_n), hidden(bench.dtype, rows, width);
  Operand out(DType::f32, rows, d), y(DType::f32, tokens, d), dpre(bench.dtype, rows, up_n);
  Operand dx(DType::f32, tokens, d), dup(DType::f32, experts, bank.up_shape().elements());
  Operand ddown(DType::f32, experts, bank.down_shape().elements());
  const double flops = 2.0 * static_cast<double>(rows) * static_cast<double>(d) * static_cast<double>(3 * width);
  const std::string name = fmt::format("T={} d={} F={} E={} k={}", tokens, d, width, experts, top_k);
  const ExpertSaved saved{pre.view, hidden.view};
  bench.run("experts forward  " + name, flops,
            [&] { experts_forward(x.view, routing, bank, saved, out.view, y.view); });
  bench.run("experts backward " + name, 2 * flops, [&] {
    experts_backward(dy.view, x.view, routing, bank, saved, {dpre.view, out.view}, dx.view, dgate.data(),
                     dup.memory.f32(), ddown.memory.f32());
  });
  Operand w(DType::f32, experts, d), logits(DType::f32, tokens, experts), prob(DType::f32, tokens, experts);
  const RouterShape shape{experts, top_k};
  const double router = 2.0 * static_cast<double>(tokens * experts) * static_cast<double>(d);
  bench.run("route forward    " + name, router, [&] {
    route_forward(x.view, w.memory.f32(), shape, nullptr, logits.memory.f32(), prob.memory.f32(), routing);
    dispatch_tokens(routing);
  });
  Operand dlogits(DType::f32, tokens, experts), dw(DType::f32, experts, d);
  bench.run("route backward   " + name, 2 * router, [&] {
    route_backward(x.view, w.memory.f32(), shape, logits.memory.f32(), prob.memory.f32(), routing, dgate.data(), {},
                   dlogits.memory.f32(), dw.memory.f32(), dx.view);
  });
}

void bench_head(const Bench& bench, i64 tokens, i64 d, i64 vocab) {
  const PackedShape shape{vocab, d};
  const Operand w(bench.dtype, 1, shape.elements(), 0.05), x(bench.dtype, tokens, d);
  Operand dx(DType::f32, tokens, d), dw(DType::f32, 1, shape.elements());
  std::vector<i32> target(static_cast<size_t>(tokens));
  std::vector<float> loss(target.size());
  for (size_t t = 0; t < target.size(); ++t) target[t] = static_cast<i32>(t * 31 % static_cast<size_t>(vocab));
  const PackedWeight weight{w.memory.data(), bench.dtype, shape};
  const double flops = 6.0 * static_cast<double>(tokens * d) * static_cast<double>(vocab);
  bench.run(fmt::format("head loss and gradient T={} d={} V={}", tokens, d, vocab), flops, [&] {
    head_loss(x.view, weight, target.data(), 1e-3f, loss.data(), dx.view, dw.memory.f32());
  });
}

void bench_attention(const Bench& bench, i64 segments, i64 rows, i64 heads, i64 head_dim) {
  const i64 tokens = segments * rows, cols = heads * head_dim;
  Operand q(bench.dtype, tokens, cols), k(bench.dtype, tokens, cols), v(bench.dtype, tokens, cols);
  Operand out(bench.dtype, tokens, cols), dout(bench.dtype, tokens, cols), dq(bench.dtype, tokens, cols);
  Operand dk(bench.dtype, tokens, cols), dv(bench.dtype, tokens, cols);
  std::vector<float> lse(static_cast<size_t>(tokens * heads));
  std::vector<AttentionSegment> list;
  for (i64 s = 0; s < segments; ++s)
    list.push_back({s * rows, rows, ConstMatrix(k.view).row(s * rows), ConstMatrix(v.view).row(s * rows), cols, rows});
  AttentionShape shape;
  shape.heads = shape.kv_heads = heads;
  shape.head_dim = head_dim;
  shape.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim)));
  const double flops = 2.0 * static_cast<double>(tokens * (rows + 1)) * static_cast<double>(cols);
  const std::string name = fmt::format("{} x {} rows, {} heads of {}", segments, rows, heads, head_dim);
  bench.run("attention forward  " + name, flops,
            [&] { attention_forward(shape, q.view, list, out.view, lse.data()); });
  bench.run("attention backward " + name, 2.5 * flops, [&] {
    attention_backward(shape, q.view, list, out.view, dout.view, lse.data(), dq.view, dk.view, dv.view);
  });
}

void bench_rows(const Bench& bench, i64 tokens, i64 d) {
  Operand x(DType::f32, tokens, d), y(bench.dtype, tokens, d), dx(DType::f32, tokens, d), gain(DType::f32, 1, d);
  Operand dgain(DType::f32, 1, d);
  std::vector<float> inv(static_cast<size_t>(tokens), 1.0f);
  std::vector<i32> position(static_cast<size_t>(tokens));
  std::vector<float> frequency(16, 0.1f);
  const double elements = static_cast<double>(tokens * d);
  bench.run(fmt::format("norm forward  T={} d={} (elements/s)", tokens, d), elements,
            [&] { rmsnorm_forward(x.view, gain.memory.f32(), 1e-5f, y.view, inv.data()); });
  bench.run(fmt::format("norm backward T={} d={} (elements/s)", tokens, d), elements, [&] {
    rmsnorm_backward(y.view, x.view, gain.memory.f32(), inv.data(), dx.view, dgain.memory.f32());
  });
  bench.run(fmt::format("rope          T={} d={} (elements/s)", tokens, d), elements,
            [&] { rope_apply(y.view, d / 32, 32, position.data(), frequency.data(), false); });
  const i64 count = 4 << 20;
  Operand master(DType::f32, 1, count), m(DType::f32, 1, count), v(DType::f32, 1, count), g(DType::f32, 1, count);
  Operand copy(DType::bf16, 1, count);
  bench.run("adamw 4 M parameters (bytes/s as FLOP/s)", static_cast<double>(count) * 34, [&] {
    adamw_update({}, count, master.memory.f32(), m.memory.f32(), v.memory.f32(), g.memory.f32(), copy.memory.data(),
                 DType::bf16);
  });
}

void run_all(Bench bench) {
  for (DType dtype : {DType::bf16, DType::f32}) {
    bench.dtype = dtype;
    fmt::print(stderr, "\n{}\n", dtype_name(dtype));
    bench_linear(bench, 2048, 64, 64);
    bench_linear(bench, 2048, 192, 64);
    bench_linear(bench, 2048, 256, 256);
    bench_linear(bench, 2048, 512, 512);
    for (i64 experts : {1, 8, 32, 128}) bench_experts(bench, 2048, 64, 64, experts, experts == 1 ? 1 : 2);
    bench_experts(bench, 4096, 256, 256, 64, 4);
    bench_head(bench, 2048, 64, 1024);
    bench_head(bench, 1024, 256, 16384);
    bench_attention(bench, 16, 128, 4, 16);
    bench_attention(bench, 8, 256, 4, 32);
    bench_attention(bench, 4, 512, 4, 64);
    bench_rows(bench, 4096, 256);
  }
}

}  // namespace
}  // namespace moebius::kernels

int main(int argc, char** argv) {
  using namespace moebius::kernels;
  isa_select(argc > 1 ? argv[1] : "auto");
  Bench bench;
  if (argc > 2) bench.repeats = std::atoi(argv[2]);
  if (argc > 3) moebius::parallel_set_threads(std::atoi(argv[3]));
  const Roof roof = roof_measure(isa_current(), 200, true);
  bench.roof = roof.bf16_flops_per_s;
  fmt::print(stderr, "{}, {} threads: bf16 {:.1f}, f32 {:.1f} GFLOP/s; L2 {:.1f}, L3 {:.1f}, DRAM {:.1f} GB/s\n",
             isa_name(isa_current()), moebius::parallel_threads(), roof.bf16_flops_per_s / 1e9,
             roof.f32_flops_per_s / 1e9, roof.l2_bytes_per_s / 1e9, roof.l3_bytes_per_s / 1e9,
             roof.dram_bytes_per_s / 1e9);
  run_all(bench);
  return 0;
}
