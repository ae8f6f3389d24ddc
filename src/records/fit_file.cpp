// The lists of fields, in the order of the file.
// In, out: fit_file.h.
#include "records/fit_file.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace moebius::records {

namespace {

void curve_visit(Fields& f, const char* key, std::vector<CurvePoint>& points, const char* x, const char* y) {
  f.each(key, points, [&](Fields& at, CurvePoint& p) { at(x, p.x)(y, p.y)("low", p.low)("high", p.high); });
}

}  // namespace

void Verdict::visit(Fields& f) {
  if (f.has("verdict") && !f.has("knowledge")) {
    throw Error(
        {.where = f.file(),
         .what = "the file was written by an older version: a verdict has no 'knowledge'",
         .fix = "run the command that wrote it again: 'moebius study' for a study's folder, else 'moebius fit DATA "
                "--law ... --out FILE'"});
  }
  f("verdict", text)("knowledge", knowledge);
}

void Coefficient::visit(Fields& f) {
  f("value", value)("low", low)("high", high)("determined", determined)("note", note);
}

void Optimum::visit(Fields& f) {
  f("size", size)("tokens", tokens)("loss", loss)("determined", determined)("verdict", verdict);
}

void IsoflopGroup::visit(Fields& f) {
  f("family", family)("compute", compute)("size_column", size_column)("runs", runs);
  f.each("points", points,
         [](Fields& at, CurvePoint& p) { at("run", p.run)("size", p.x)("tokens", p.tokens)("loss", p.y); });
  f.each("curve", curve, [](Fields& at, CurvePoint& p) {
    at("size", p.x)("tokens", p.tokens)("loss", p.y)("low", p.low)("high", p.high);
  });
  f("optimum", optimum);
}

void SparsityGroup::visit(Fields& f) {
  f("family", family)("compute", compute)("tokens", tokens)("runs", runs);
  f.each("points", points, [](Fields& at, CurvePoint& p) {
    at("run", p.run)("experts", p.experts)("top_k", p.top_k)("sparsity", p.x)("loss", p.y);
  });
  f.each("curve", curve, [](Fields& at, CurvePoint& p) {
    at("experts", p.experts)("sparsity", p.x)("loss", p.y)("low", p.low)("high", p.high);
  });
}

void LawCurves::visit(Fields& f) {
  f("isoflop", isoflop)("isoflop_note", isoflop_note)("sparsity", sparsity)("sparsity_note", sparsity_note);
  f("predicted_95", predicted);
}

void Residual::visit(Fields& f) { f("run", run)("measured", measured)("predicted", predicted)("compute", compute); }

void Holdout::visit(Fields& f) {
  f("kind", kind);
  if (!f.brief()) f("runs", runs);
  f("error", error)("error_se", error_se);
  if (!f.brief()) f("errors", errors);
}

void LawOptimum::visit(Fields& f) { f("objective", objective)("coefficients", coefficients); }

void FittedLaw::visit(Fields& f) {
  double error = holdout_error();
  f("law", law)("formula", formula)("source", source)("meaning", meaning)("quantity", quantity);
  f("objective", objective)("penalty", penalty)("residual", residual)("huber_delta", huber_delta);
  f("weight_decay", weight_decay).named("coefficients", coefficients)("determined", determined);
  verdict.visit(f);
  f("notes", notes)("holdout_error", error)("holdout", holdout)("rmse", rmse)("rmse_log", rmse_log)("aicc", aicc);
  f("runs", runs).named("range", range)("optima", optima)("interval_level", interval_level);
  if (!f.brief()) f("samples", samples)("residuals", residuals)("curves", curves);
}

void SkippedLaw::visit(Fields& f) { f("law", law)("reason", reason); }

void RankedLaw::visit(Fields& f) {
  f("law", law)("aicc", aicc)("aicc_difference", aicc_difference)("holdout_error", holdout_error);
}

void ComparedPair::visit(Fields& f) {
  f("a", a)("b", b)("aicc_difference", aicc_difference)("holdout_difference", holdout_difference);
  f("holdout_difference_se", holdout_difference_se)("distinct", distinct)("text", text);
}

void Comparison::visit(Fields& f) { f("laws", laws)("pairs", pairs)("verdict", verdict); }

void TaskTerm::visit(Fields& f) {
  bool known = determined();
  f("value", value.estimate)("low", value.low)("high", value.high)("determined", known)("sign", sign)("note", note);
  f.if_known("reference", reference);
}

void TaskLawPoint::visit(Fields& f) {
  f("model", model)("seeds", seeds)("train_loss", train_loss)("flops", flops)("tpp", tpp);
  f("measured", measured)("predicted", predicted)("left_out", left_out);
}

void TaskCurves::At::visit(Fields& f) {
  f.if_known("train_loss", train_loss).if_known("flops", flops).if_known("tpp", tpp);
}

void TaskCurves::visit(Fields& f) {
  curve_visit(f, "over_train_loss", over_train_loss, "x", "value");
  curve_visit(f, "over_flops", over_flops, "x", "value");
  f("at", at);
}

void TaskLaw::visit(Fields& f) {
  f("task", task)("skill", skill)("measure", measure)("tasks", tasks)("link", link);
  f("floor", floor)("ceiling", ceiling).named("coefficients", terms);
  f("configurations", configurations)("runs", runs)("degrees_of_freedom", df)("residual", residual);
  f("seed_noise", seed_noise)("misfit", misfit)("holdout_error", holdout_error);
  f("holdout_error_constant", holdout_error_constant);
  verdict.visit(f);
  f("notes", notes)("points", points)("curves", curves);
}

void TurningPoint::Point::visit(Fields& f) { f("x", x)("y", y)("runs", runs); }

void TurningPoint::visit(Fields& f) {
  bool is_found = found();
  f("task", task)("skill", skill)("measure", measure)("direction", direction)("x", x)("family", family);
  f("found", is_found)("shape", shape)("p", p)("p_adjusted", p_adjusted)("tests", tests)("at", at);
  f("rise", rise)("fall", fall)("seed_noise", seed_noise)("seeds", seeds)("points", points);
  f("verdict", verdict)("outcome", outcome);
}

void RecommendedShape::visit(Fields& f) {
  f("d_model", d_model)("layers", layers)("experts", experts)("top_k", top_k)("parameters_total", parameters_total);
  f("parameters_active", parameters_active)("tokens", tokens)("loss", loss);
}

void LawChoice::visit(Fields& f) {
  f("law", law)("reason", reason)("optimum", optimum)("parameters_active_95", parameters_active_95);
}

void Recommendation::visit(Fields& f) {
  verdict.visit(f);
  f("compute", compute).or_null("law", law)("model", model)("reasons", reasons)("laws", laws);
  if (f.reading()) f("model", shape)("laws", choices);
}

void Planted::visit(Fields& f) { f("name", name)("law", law).named("coefficients", coefficients); }

const FittedLaw* FitFile::law(std::string_view name) const {
  const auto at = std::ranges::find(loss.laws, name, &FittedLaw::law);
  return at == loss.laws.end() ? nullptr : &*at;
}

void FitFile::visit(Fields& f) {
  if (f.reading()) {
    loss.form = f.has("laws") ? LawsForm::all : f.has("coefficients") ? LawsForm::one : LawsForm::none;
    tasks.present = f.has("task_laws") || f.has("turning_points");
  }
  if (loss.form == LawsForm::all) {
    std::string all = "all";
    f("law", all)("laws", loss.laws)("skipped", loss.skipped)("comparison", loss.comparison);
  } else if (loss.form == LawsForm::one) {
    loss.laws.resize(1);
    loss.laws.front().visit(f);
  }
  const bool has_loss = loss.form != LawsForm::none;
  if (has_loss) f("runs_dropped", loss.runs_dropped)("runs_total", loss.runs_total);
  f("data", data);
  if (has_loss) f("seed", loss.seed);
  if (f.reading() || planted) f("planted", planted);
  if (tasks.present)
    f("task_laws", tasks.task_laws)("turning_points", tasks.turning_points)("left_out", tasks.left_out);
  if (f.reading() || recommended) f("recommended", recommended);
}

FitFile fit_parse(const Json& json, const std::string& where) { return fields_from_json<FitFile>(json, where); }

FitFile fit_read(const std::string& path) { return fit_parse(Json::parse_file(path), path); }

Json fit_to_json(const FitFile& fit, bool brief) { return fields_to_json(fit, brief); }

void fit_write(const FitFile& fit, const std::string& path) {
  file_write_atomic(path, fit_to_json(fit).dump(1) + "\n");
}

}  // namespace moebius::records
