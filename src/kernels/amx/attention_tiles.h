// Attention's products (body/attention_body.h) on tiles of 16 x 32 bf16: blocks of 32 queries, which are the columns of
// every tile of sums except those of the keys' gradients. S is the vector set of the element-wise parts; P the tiles
// with their helpers (driver.h, and step_rows, store_step). Tile products are interleaved with parts of the softmax, so
// that out-of-order execution keeps both units busy. In, out: table.h. bf16 alone; f32 has no tiles.
#pragma once

#include "kernels/amx/driver.h"
#include "kernels/body/attention_body.h"

namespace moebius::kernels {

// Where the tiles of one operand lie, in elements: between rows of a tile, and between steps of 32 of the reduction.
struct TileOperand {
  const bf16* data;
  i64 row, step;
};

// 32 x 32 of out (+)= left * right over `steps` steps: left's rows hold 32 of the reduction, right's are pairs of it.
template <bool kAdd, class P>
inline void multiply_square(P& tiles, const TileOperand& left, const TileOperand& right, i64 steps, float* out,
                            i64 out_row) {
  const i64 bytes = out_row * 4;
  if constexpr (kAdd) {
    tiles.template load<0>(out, bytes);
    tiles.template load<1>(out + 16, bytes);
    tiles.template load<2>(out + 16 * out_row, bytes);
    tiles.template load<3>(out + 16 * out_row + 16, bytes);
  } else {
    tiles.template zero<0>();
    tiles.template zero<1>();
    tiles.template zero<2>();
    tiles.template zero<3>();
  }
  for (i64 s = 0; s < steps; ++s) {
    const bf16 *a = left.data + s * left.step, *b = right.data + s * right.step;
    tiles.template load<4>(a, left.row * 2);
    tiles.template load<6>(b, right.row * 2);
    tiles.template load<7>(b + 32, right.row * 2);
    tiles.template multiply<0, 4, 6>();
    tiles.template multiply<1, 4, 7>();
    tiles.template load<5>(a + 16 * left.row, left.row * 2);
    tiles.template multiply<2, 5, 6>();
    tiles.template multiply<3, 5, 7>();
  }
  tiles.template store<0>(out, bytes);
  tiles.template store<1>(out + 16, bytes);
  tiles.template store<2>(out + 16 * out_row, bytes);
  tiles.template store<3>(out + 16 * out_row + 16, bytes);
}

template <class S, class P>
struct TileWay {
  using Element = bf16;
  using V = typename S::V;
  // As in LanePolicy.
  static constexpr int kStep = 2;
  static constexpr i64 kQueries = 32;
  static constexpr i64 kBatch = i64{1} << 30;                  // all queries
  static constexpr i64 kKept = 4;                              // two pairs of blocks
  static constexpr i64 kKeysForward = 64, kKeysBackward = 64;  // two blocks' scores and weights stay in L1
  static constexpr i64 kBuffers = 2;                           // one is multiplied, the other read
  static constexpr int kDimLeast = 32;
  static constexpr int kTopChains = 8;  // enough to hide the latency of a maximum
  static constexpr float kSlack = 8;
  static constexpr bool kTransposed = true;

  static constexpr i64 kSquare = 32;  // keys, or columns, of a product
  static constexpr i64 kScores = kSquare * kQueries;
  P tiles;

  // 2^x, 1 for 0: a polynomial of degree 4 that fits best on [-1/2, 1/2], relative error below 3e-6. Weights are
  // rounded to 2^-9 behind it, and exponentials are what the vector unit is busy with.
  static V exp2(V x) {
    if constexpr (!requires { S::kScalesFar; }) x = S::max(x, S::set1(-126.0f));
    const V n = S::round(x), r = x - n;
    V p = S::fma(S::set1(9.58285294e-3f), r, S::set1(5.59064262e-2f));
    p = S::fma(p, r, S::set1(2.40240991e-1f));
    p = S::fma(p, r, S::set1(6.93124175e-1f));
    p = S::fma(p, r, S::set1(1.0f));
    return S::scale2(p, n);
  }
  static void store_step(bf16* dst, const V* rows) { P::store_step(dst, rows); }
  static void step_rows(const bf16* a, const bf16* b, i64 count, bf16* dst) { P::step_rows(a, b, count, dst); }

  // out[key][query] of 32 keys; queries transposed.
  template <int D>
  void scores(const bf16* key_rows, const bf16* queries, float* out) {
    multiply_square<false>(tiles, {key_rows, D, kSquare}, {queries, 2 * kQueries, kSquare * kQueries}, D / kSquare, out,
                           kQueries);
  }
  // sum[d][query] += weight[key / 2][query][2] * rows[key / 32][d][32], 32 columns d of `count` keys.
  template <int D>
  void weigh(const bf16* weight, const bf16* rows, i64 d, i64 count, float* sum) {
    multiply_square<true>(tiles, {rows + d * kSquare, kSquare, kSquare * D}, {weight, 2 * kQueries, kSquare * kQueries},
                          count / kSquare, sum + d * kQueries, kQueries);
  }
  // Rescales what came before the block: only if a score rose far above the top, which is rare after the first keys.
  template <int D>
  static void rescale(const HeadSums<kQueries>& sums, float* mixed) {
    V least = S::set1(1.0f);
    for (i64 lane = 0; lane < kQueries; lane += S::kLanes) least = S::min(least, S::load(sums.rescale + lane));
    if (S::largest(S::zero() - least) <= -1.0f) return;
    for (i64 d = 0; d < D; ++d)
      for (i64 lane = 0; lane < kQueries; lane += S::kLanes) {
        float* at = mixed + d * kQueries + lane;
        S::store(at, S::load(at) * S::load(sums.rescale + lane));
      }
  }

  // Forward of a block of queries. While the exponentials of a block of keys are made, tiles multiply the scores of the
  // next block and the values of the one before.
  template <int D>
  void mix(const HeadMeeting<bf16>& m, HeadSums<kQueries>& sums) {
    constexpr i64 block = kKeysForward, part_keys = kSquare / 2, parts = block / part_keys;
    const i64 start = m.first_key() / block * block, end = (m.first + m.rows + kSquare - 1) / kSquare * kSquare;
    const i64 lanes = m.rows <= kQueries / 2 ? kQueries / 2 : kQueries;  // sums of the others are never read
    const auto count = [&](i64 key) { return end - key < block ? end - key : block; };
    i64 before = 0;  // keys of the block whose weights wait for their values
    for (i64 at = 0; at < count(start); at += kSquare)
      scores<D>(m.keys + (start + at) * D, m.queries, m.score + at * kQueries);
    for (i64 key = start, index = 0; key < end; key += block, ++index) {
      const i64 now = index % 2 * block * kQueries, other = block * kQueries - now,
                next = key + block < end ? count(key + block) : 0;
      const HeadSeen<kQueries> seen{m.first - key, m.window};
      head_top<S, TileWay>(m.score + now, seen, count(key), m.factor, lanes, sums);
      for (i64 part = 0; part < parts; ++part) {
        const i64 at = part * part_keys;
        if (at % kSquare == 0 && at < next)
          scores<D>(m.keys + (key + block + at) * D, m.queries, m.score + other + at * kQueries);
        if (at < count(key))
          head_weights<S, TileWay>(m.score + now + at * kQueries, seen.from(at), part_keys, m.factor, lanes, part == 0,
                                   m.weight + now + at * kQueries, sums);
        if (before > 0)
          for_share(D / kSquare, part, parts, [&](i64 d) {
            weigh<D>(m.weight + other, m.values + (key - block) * D, d * kSquare, before, m.mixed);
          });
      }
      if (before > 0) rescale<D>(sums, m.mixed);
      before = count(key);
    }
    const i64 last = (end - start - 1) / block;
    for (i64 d = 0; d < D; d += kSquare)
      weigh<D>(m.weight + last % 2 * block * kQueries, m.values + (start + last * block) * D, d, before, m.mixed);
  }

  // Backward of a block of keys and all queries that see it, square by square. While the gradients of a square's scores
  // are made, tiles multiply the scores of the next square, dq of the block of queries before and dk, dv of the pair
  // before: a pair, since sums that pass through memory for one step of a product would cost more than the product.
  template <int D>
  void spread(const HeadBatch<bf16>& b) {
    const i64 squares = b.keys / kSquare, total = b.blocks * squares;
    products<D>(b, 0, 0);
    products<D>(b, 0, 1);
    for (i64 i = 0; i < total; ++i) {
      const i64 block = i / squares, key = i % squares * kSquare, pair = block / kPair;
      const i64 pair_parts = (b.blocks - pair * kPair < kPair ? b.blocks - pair * kPair : kPair) * squares * kParts;
      for (i64 part = 0; part < kParts; ++part) {
        if (i + 1 < total && part % 2 == 0) products<D>(b, i + 1, part / 2);
        gradient(b, i, block, key, part);
        const i64 in_block = i % squares * kParts + part, in_pair = block % kPair * squares * kParts + in_block;
        if (block > 0)
          for_share(D / kSquare, in_block, squares * kParts, [&](i64 d) { add_queries<D>(b, block - 1, d); });
        if (pair > 0) for_share(outer_squares<D>(b), in_pair, pair_parts, [&](i64 j) { add_keys<D>(b, pair - 1, j); });
      }
    }
    for (i64 d = 0; d < D / kSquare; ++d) add_queries<D>(b, b.blocks - 1, d);
    for (i64 j = 0; j < outer_squares<D>(b); ++j) add_keys<D>(b, (b.blocks - 1) / kPair, j);
  }

 private:
  static constexpr i64 kRow = kQueries * kKept;        // of prob and dscore
  static constexpr i64 kPair = kKept / 2, kParts = 4;  // of a square

  static constexpr i64 kPartKeys = kSquare / kParts;

  // Calls step for the share of [0, count) that belongs to one of `parts` parts.
  template <class Step>
  static void for_share(i64 count, i64 part, i64 parts, Step step) {
    for (i64 i = count * part / parts; i < count * (part + 1) / parts; ++i) step(i);
  }
  // Scores (0) or gradients of probabilities (1) of a square.
  template <int D>
  void products(const HeadBatch<bf16>& b, i64 square, i64 which) {
    const i64 squares = b.keys / kSquare, key = square % squares * kSquare * D, query = square / squares * kQueries * D;
    const i64 to = square % kBuffers * kScores;
    which == 0 ? scores<D>(b.key_rows + key, b.queries + query, b.score + to)
               : scores<D>(b.value_rows + key, b.dout + query, b.dprob + to);
  }
  static void gradient(const HeadBatch<bf16>& b, i64 square, i64 block, i64 key, i64 part) {
    const i64 from = square % kBuffers * kScores + part * kPartKeys * kQueries, at = key + part * kPartKeys;
    const i64 to = at * kRow + block % kKept * kQueries;
    HeadBatch<bf16> now = b;
    now.score += from, now.dprob += from, now.prob += to, now.dscore += to;
    now.dscore_steps += block % kBuffers * kKeysBackward * kQueries + at * kQueries;
    now.lse += block * kQueries, now.delta += block * kQueries;
    head_gradient<S, TileWay>(now, {b.first + block * kQueries - at, b.window}, kPartKeys);
  }
  // dq of a block, 32 of its columns.
  template <int D>
  void add_queries(const HeadBatch<bf16>& b, i64 block, i64 d) {
    weigh<D>(b.dscore_steps + block % kBuffers * kKeysBackward * kQueries, b.key_steps, d * kSquare, b.keys,
             b.dq + block * kQueries * D);
  }
  template <int D>
  static i64 outer_squares(const HeadBatch<bf16>& b) {
    return 2 * (b.keys / kSquare) * (D / kSquare);
  }
  // dv (even j) or dk of a pair's queries, 32 keys and columns: sum[key][d] += weight[key][query] * rows[query /
  // 2][d][2].
  template <int D>
  void add_keys(const HeadBatch<bf16>& b, i64 pair, i64 j) {
    const i64 d = j / 2 % (D / kSquare) * kSquare, key = j / 2 / (D / kSquare) * kSquare, block = pair * kPair;
    const bf16* weight = (j % 2 == 0 ? b.prob : b.dscore) + key * kRow + block % kKept * kQueries;
    const bf16* rows = (j % 2 == 0 ? b.dout_steps : b.query_steps) + block * kQueries * D + d * 2;
    multiply_square<true>(tiles, {weight, kRow, kQueries}, {rows, 2 * D, kSquare * D},
                          b.blocks - block < kPair ? b.blocks - block : kPair, (j % 2 == 0 ? b.dv : b.dk) + key * D + d,
                          D);
  }
};

template <class S, class P>
void fill_attention_tiles(OpTable& table) {
  table.typed[1].head_forward = head_forward<S, TileWay<S, P>, bf16>;
  table.typed[1].head_backward = head_backward<S, TileWay<S, P>, bf16>;
}

}  // namespace moebius::kernels
