// The published coefficients of every law, with their tables and the ranges that their authors fitted.
// Values in the order of law_coefficients(). Golden values computed from them: law_test.cpp.
#include "fit/law.h"

#include <algorithm>
#include <cmath>

#include "base/options.h"

namespace moebius::fit {

namespace {

const char* const kChinchillaRange = "dense models of 44M to 16B parameters, up to 500B tokens (MassiveText)";
const char* const kKrajewskiRange =
    "129M to 3.7B parameters, 16B to 130B tokens, G 1 to 16, expert-choice routing (C4)";
const char* const kClarkRange = "dense bases of 15M to 1.3B parameters, 1 to 512 experts, 130B tokens";

// The first set of a law is its default.
const std::vector<PublishedFit> kSets = {
    {Law::chinchilla,
     "epoch-2024",
     {1.8172, 482.01, 2085.43, 0.3478, 0.3658},
     "Besiroglu et al. 2024, arXiv 2404.10102: standard errors A 124.6, B 1293, E 0.03, alpha 0.02, beta 0.02",
     kChinchillaRange},
    {Law::chinchilla,
     "epoch-2024-notebook",
     {1.81724, 477.842, 2143.864, 0.347313, 0.367183},
     "the optimum that the notebook of Besiroglu et al. 2024 prints",
     kChinchillaRange},
    {Law::chinchilla,
     "hoffmann-2022",
     {1.69, 406.4, 410.7, 0.34, 0.28},
     "Hoffmann et al. 2022, arXiv 2203.15556, equation 10, as printed (rounded)",
     kChinchillaRange},
    {Law::chinchilla,
     "hoffmann-2022-unrounded",
     {std::exp(0.5267228), std::exp(6.0073404), std::exp(6.0179186), 0.33917084, 0.2849083},
     "Hoffmann et al. 2022 with the digits of the source text: logarithms 0.5267228, 6.0073404, 6.0179186",
     kChinchillaRange},
    {Law::fine_grained,
     "krajewski-moe-e64",
     {0.47, 2.1, 0.58, 18.1, 0.115, 30.8, 0.147},
     "Krajewski et al. 2024, arXiv 2402.07871, table 1, expansion rate 64",
     kKrajewskiRange},
    {Law::fine_grained,
     "krajewski-dense",
     {0.47, 0.0, 0.0, 16.3, 0.126, 26.7, 0.127},
     "Krajewski et al. 2024, table 1, dense (no granularity: g = 0)",
     kKrajewskiRange},
    {Law::fine_grained,
     "krajewski-moe-e64-holdout",
     {0.472, 2.07, 0.570, 17.6, 0.114, 26.7, 0.140},
     "Krajewski et al. 2024, expansion rate 64, the best fifth of the runs held out",
     kKrajewskiRange},
    {Law::fine_grained,
     "krajewski-moe-e16",
     {0.472, 1.18, 0.986, 19.64, 0.124, 57.07, 0.169},
     "Krajewski et al. 2024, expansion rate 16",
     kKrajewskiRange},
    {Law::abnar,
     "abnar-2025",
     {16612.50, 0.5962, 5455.67, 0.3954, 0.4598, -0.1666, 17.26, 0.1603, 0.1595, 0.94},
     "Abnar et al. 2025, arXiv 2501.12370, table 3",
     "sparsity 0 to 0.98 (fitted without 0.98), 3e19 to 1e21 FLOPs"},
    {Law::joint,
     "ludziejewski-2025",
     {35.91, -0.1889, -0.2285, 0.0098, 35.98, -0.1775, 0.5529, -0.0259, 2.0732, 290.4521, 1.3637},
     "Ludziejewski et al. 2025, arXiv 2502.05172, table of the fit",
     "more than 280 runs, 1 to 32 experts, top-1 (FineWeb-Edu)"},
    {Law::routed,
     "clark-s-base",
     {-0.082, -0.108, 0.009, 1.104, 1.847, 314.478},
     "Clark et al. 2022, arXiv 2202.01169, table 3, S-BASE",
     kClarkRange},
    {Law::routed,
     "clark-rl-r",
     {-0.083, -0.126, 0.012, 1.111, 1.880, 469.982},
     "Clark et al. 2022, table 3, RL-R",
     kClarkRange},
    {Law::routed,
     "clark-hash",
     {-0.087, -0.136, 0.012, 1.157, 4.175, 477.741},
     "Clark et al. 2022, table 3, HASH",
     kClarkRange},
    {Law::leverage,
     "ling-2025",
     {1.23, -7.61e-2, 1.67e-2, -1.17e-1, 1.63e-2, 5.28e16},
     "Ling team 2025, arXiv 2507.17702, table of the fit",
     "activation ratio 0.008 to 1, G 2 to 16, 3e18 to 3e20 FLOPs"},
    {Law::flame,
     "flame-2025",
     {2.241716, 148.413257, 3269017.372472, 0.279702, 0.7155},
     "FLAME-MoE 2025, arXiv 2505.20225, the repository's notebook",
     "80 runs, 64 experts, top-6 and 2 shared, D = C/(6 N)"},
};

}  // namespace

const std::vector<PublishedFit>& published_fits() { return kSets; }

const PublishedFit& published_default(Law law) { return *std::ranges::find(kSets, law, &PublishedFit::law); }

const PublishedFit& published_fit(std::string_view name) {
  std::vector<std::string> names;
  for (const PublishedFit& fit : kSets) names.push_back(fit.name);
  return kSets[index_of_word(name, names, "published fit", "")];
}

}  // namespace moebius::fit
