// Tests only: a fit.json with every part, its numbers chosen so that figures can be checked by hand.
#pragma once

#include <cmath>
#include <string>

#include "base/json.h"

namespace moebius::report {

inline Json fake_interval(double value, double low, double high) {
  return Json::object({{"value", value}, {"low", low}, {"high", high}});
}

inline Json fake_coefficient(double value, bool determined, const std::string& note) {
  Json c = fake_interval(value, 0.9 * value, 1.1 * value);
  c.set("determined", determined);
  c.set("note", note);
  return c;
}

inline Json fake_term(double value, const std::string& sign) {
  Json term = fake_interval(value, 0.9 * value, 1.1 * value);
  term.set("sign", sign);
  return term;
}

// Runs of sizes 1e6, 2e6, 4e6 with losses 3, 2.8, 2.9 at 1e15 FLOPs; the optimum at 2.1e6.
inline Json fake_isoflop(double compute, bool determined) {
  Json points = Json::array(), curve = Json::array();
  for (const auto& [size, loss] : {std::pair{1e6, 3.0}, std::pair{2e6, 2.8}, std::pair{4e6, 2.9}}) {
    points.push_back(Json::object({{"run", "n" + std::to_string(static_cast<i64>(size))},
                                   {"size", size},
                                   {"tokens", compute / (6 * size)},
                                   {"loss", loss}}));
    curve.push_back(Json::object({{"size", size},
                                  {"tokens", compute / (6 * size)},
                                  {"loss", loss - 0.01},
                                  {"low", loss - 0.03},
                                  {"high", loss + 0.01}}));
  }
  Json optimum = Json::object({{"size", fake_interval(2.1e6, 1.7e6, 2.6e6)},
                               {"tokens", 1e8},
                               {"loss", 2.78},
                               {"determined", true},
                               {"verdict", "determined"}});
  if (!determined) {
    optimum = Json::object({{"size", Json::object({{"value", nullptr}, {"low", 1e5}, {"high", 9e7}})},
                            {"tokens", nullptr},
                            {"loss", nullptr},
                            {"determined", false},
                            {"verdict", "not determined: its interval spans a factor of 900"}});
  }
  return Json::object({{"family", "E = 8, k = 2"},
                       {"compute", compute},
                       {"size_column", "parameters_active"},
                       {"runs", 3},
                       {"points", points},
                       {"curve", curve},
                       {"optimum", optimum}});
}

inline Json fake_sparsity() {
  Json points = Json::array();
  for (const auto& [experts, loss] : {std::pair{1.0, 3.0}, std::pair{8.0, 2.8}, std::pair{32.0, 2.7}}) {
    points.push_back(Json::object({{"run", "E" + std::to_string(static_cast<i64>(experts))},
                                   {"experts", experts},
                                   {"top_k", experts > 1 ? 2 : 1},
                                   {"sparsity", experts > 1 ? 1 - 2 / experts : 0},
                                   {"loss", loss}}));
  }
  return Json::object({{"family", "k = 2"},
                       {"compute", 1e15},
                       {"tokens", 1e8},
                       {"runs", 3},
                       {"points", points},
                       {"curve", Json::array()}});
}

inline Json fake_law() {
  Json residuals = Json::array(), intervals = Json::array();
  for (int i = 0; i < 4; ++i) {
    const double measured = 3 - 0.1 * i;
    residuals.push_back(Json::object({{"run", "r" + std::to_string(i)},
                                      {"measured", measured},
                                      {"predicted", 1.01 * measured},
                                      {"compute", 1e15 * (1 + i)}}));
    intervals.push_back(Json(Json::Array{Json(1.0 * measured), Json(1.02 * measured)}));
  }
  return Json::object(
      {{"law", "joint"},
       {"formula", "L = a Eh^delta ..."},
       {"source", "a paper"},
       {"meaning", "N: active"},
       {"quantity", "loss"},
       {"objective", 0.00123},
       {"verdict", "partly determined: not gamma"},
       {"knowledge", "partly determined"},
       {"notes", Json(Json::Array{Json("a note <i>")})},
       {"coefficients", Json::object({{"alpha", fake_coefficient(0.34, true, "")},
                                      {"gamma", fake_coefficient(0.0123456, false, "its interval includes zero")}})},
       {"determined", false},
       {"holdout_error", 0.0105},
       {"holdout", Json::object({{"kind", "largest-compute"},
                                 {"runs", Json(Json::Array{Json("r3")})},
                                 {"error", 0.0105},
                                 {"errors", Json(Json::Array{Json(-0.02)})}})},
       {"aic", -123.4},
       {"runs", 4},
       {"residuals", residuals},
       {"curves", Json::object({{"isoflop", Json(Json::Array{fake_isoflop(1e15, true), fake_isoflop(4e15, false)})},
                                {"isoflop_note", ""},
                                {"sparsity", Json(Json::Array{fake_sparsity()})},
                                {"sparsity_note", ""},
                                {"predicted_95", intervals}})}});
}

// The planted sigmoid above chance 0.1: 0.1 + 0.9 / (1 + exp(4 (L - 2.5))).
inline Json fake_task_law(const std::string& knowledge, const std::string& why) {
  Json points = Json::array(), curve = Json::array(), flops = Json::array();
  for (int i = 0; i < 5; ++i) {
    const double loss = 2.1 + 0.2 * i, value = 0.1 + 0.9 / (1 + std::exp(4 * (loss - 2.5)));
    points.push_back(Json::object({{"model", "m" + std::to_string(i)},
                                   {"seeds", 3},
                                   {"train_loss", loss},
                                   {"flops", 1e12},
                                   {"tpp", 2},
                                   {"measured", value + 0.01},
                                   {"predicted", value},
                                   {"left_out", value}}));
    curve.push_back(Json::object({{"x", loss}, {"value", value}, {"low", value - 0.02}, {"high", value + 0.02}}));
    flops.push_back(Json::object({{"x", 1e12 * (1 + i)}, {"value", 0.5 + 0.01 * i}, {"low", 0.48}, {"high", 0.56}}));
  }
  return Json::object({{"task", "facts"},
                       {"skill", "memorisation"},
                       {"measure", "acc"},
                       {"link", "sigmoid"},
                       {"floor", 0.1},
                       {"ceiling", 1},
                       {"coefficients", Json::object({{"train_loss", fake_term(-4, "negative")},
                                                      {"flops", fake_term(0.7654321, "not determined")}})},
                       {"configurations", 5},
                       {"verdict", knowledge + ": " + why},
                       {"knowledge", knowledge},
                       {"notes", Json::array()},
                       {"holdout_error", 0.01},
                       {"holdout_error_constant", 0.2},
                       {"points", points},
                       {"curves", Json::object({{"over_train_loss", curve},
                                                {"over_flops", flops},
                                                {"at", Json::object({{"train_loss", 2.5}})}})}});
}

inline Json fake_turn(bool found) {
  Json points = Json::array();
  for (int i = 0; i < 5; ++i)
    points.push_back(Json::object({{"x", std::exp2(i)}, {"y", 0.5 - 0.03 * (i - 2) * (i - 2)}, {"runs", 3}}));
  return Json::object(
      {{"task", "arithmetic"},
       {"skill", "reasoning"},
       {"measure", "exact_match"},
       {"direction", "maximum"},
       {"x", "tpp"},
       {"family", "d64 L4 k2 F64"},
       {"found", found},
       {"shape", found ? "turning point inside" : "not determined"},
       {"p_adjusted", found ? 0.003 : 0.4},
       {"tests", 2},
       {"at", found ? fake_interval(4, 2.9, 5.5) : Json()},
       {"points", points},
       {"verdict", found ? "found: the turning point is inside the range" : "not determined: one side is within noise"},
       {"outcome", found ? "found" : "not determined"}});
}

inline Json fake_recommended() {
  const Json model = Json::object({{"d_model", 128},
                                   {"layers", 4},
                                   {"experts", 16},
                                   {"top_k", 1},
                                   {"parameters_total", 5000000},
                                   {"parameters_active", 1000000},
                                   {"tokens", 2e8},
                                   {"loss", 2.5}});
  return Json::object(
      {{"verdict", "partly determined: the laws' optima are 1.00M to 4.00M active parameters"},
       {"knowledge", "partly determined"},
       {"compute", 1.2e15},
       {"law", "joint"},
       {"model", model},
       {"reasons", Json(Json::Array{Json("joint meets unseen runs within 1.05 %")})},
       {"laws", Json(Json::Array{
                    Json::object({{"law", "joint"},
                                  {"reason", nullptr},
                                  {"optimum", model},
                                  {"parameters_active_95", Json(Json::Array{Json(8e5), Json(1.4e6)})}}),
                    Json::object({{"law", "abnar"}, {"reason", "no shape is small enough"}, {"optimum", nullptr}})})}});
}

inline Json fake_fit() {
  return Json::object(
      {{"law", "all"},
       {"data", Json(Json::Array{Json(".")})},
       {"laws", Json(Json::Array{fake_law()})},
       {"skipped", Json(Json::Array{Json::object({{"law", "leverage"}, {"reason", "the data measure a loss"}})})},
       {"comparison", Json::object({{"verdict", "nothing to compare"}})},
       {"task_laws", Json(Json::Array{fake_task_law("partly determined", "not flops")})},
       {"turning_points", Json(Json::Array{fake_turn(false), fake_turn(true)})},
       {"left_out", Json(Json::Array{Json("dense-s1: unfinished")})},
       {"recommended", fake_recommended()}});
}

}  // namespace moebius::report
