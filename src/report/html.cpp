// Writing the page.
#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/units.h"
#include "report/assets.h"
#include "report/tables.h"

namespace moebius::report {

namespace {

// `text` with the i-th character of `from` written as the i-th text of `as`.
std::string escaped(std::string_view text, std::string_view from, const std::vector<std::string_view>& as) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const std::size_t at = from.find(c);
    out += at == std::string_view::npos ? std::string_view(&c, 1) : as[at];
  }
  return out;
}

std::string list_of(const std::vector<std::string>& sentences) {
  std::string out = "<ul>";
  for (const std::string& sentence : sentences) out += "<li>" + html_escape(sentence) + "</li>";
  return out + "</ul>\n";
}

std::string details(const std::string& title, const std::string& body) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", html_escape(title), body);
}

std::string section(const std::string& id, const std::string& title, const std::string& body) {
  return fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n{}</section>\n", id, html_escape(title), body);
}

std::string head(const std::string& title) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; script-src 'unsafe-inline'; "
      "style-src 'unsafe-inline'; img-src data:\">\n";
  out += "<link rel=\"icon\" href=\"data:,\">\n<title>" + html_escape(title) + "</title>\n<style>\n";
  out += asset_page_css();
  out += "</style>\n</head>\n<body>\n";
  return out;
}

// "supported", "refuted", "unresolved" differ by sign and word, not only by colour.
std::string verdict_badge(records::Outcome outcome) {
  const char* sign = outcome == records::Outcome::supported ? "\u2713"
                     : outcome == records::Outcome::refuted ? "\u2717"
                                                            : "?";
  return fmt::format("<span class=\"badge {0}\"><span aria-hidden=\"true\">{1}</span> {0}</span>",
                     records::enum_name(outcome), sign);
}

std::string hypotheses_body(const records::Verdicts& verdicts) {
  std::string out =
      "<div class=\"scroll\"><table class=\"hypotheses\"><thead><tr><th>hypothesis</th><th>verdict</th><th>effect and "
      "its 95 % interval</th><th>why</th></tr></thead><tbody>\n";
  for (const records::HypothesisVerdict& result : verdicts.hypotheses) {
    out += fmt::format("<tr><td class=\"wrap\">{}<div class=\"small\">{}</div></td><td>{}</td>",
                       html_escape(result.text), html_escape(result.id), verdict_badge(result.outcome));
    out += fmt::format("<td class=\"wrap\"><span class=\"effect\">{}</span><div class=\"small\">{}</div></td>",
                       html_escape(interval_text(result.effect)), html_escape(result.effect_name));
    out += fmt::format(
        "<td class=\"wrap\">{}<div class=\"small\">{}, at least {} each</div><div class=\"small\">{}</div>"
        "</td></tr>\n",
        html_escape(result.reason), format_plural(result.configurations, "configuration"),
        format_plural(result.seeds, "seed"), html_escape(records::compared_text(result.compared)));
  }
  return out + "</tbody></table></div>\n";
}

std::string strips_html(const Figure& figure) {
  if (figure.strips.empty()) return "";
  std::string out = "<div class=\"strips\">\n";
  for (std::size_t i = 0; i < figure.strips.size(); ++i) {
    const HeatStrip& strip = figure.strips[i];
    out += fmt::format(
        "<div class=\"strip\"><div class=\"strip-name\">{}</div><canvas data-strip=\"{}\" role=\"img\" "
        "aria-label=\"expert load of {}\"></canvas></div>\n",
        html_escape(strip.run), i, html_escape(strip.run));
  }
  return out +
         "<div class=\"strip\"><div class=\"strip-name small\">load / mean</div><div class=\"scale\"><span>0</span>"
         "<canvas data-scale=\"1\" role=\"img\" aria-label=\"scale from 0 to "
         "3\"></canvas><span>3+</span></div></div>\n</div>\n";
}

std::string choice_html(const Panel& panel) {
  return fmt::format("<label class=\"choice\">{} <select data-selector=\"{}\"></select></label>\n",
                     html_escape(panel.menu.empty() ? panel.selector + " task and grade" : panel.menu),
                     html_escape(panel.selector));
}

// Bars need height by their number; most other panels have the height of the style sheet.
std::string plot_style(const Panel& panel) {
  if (panel.tall) return " style=\"height:430px\"";
  if (!panel.bars || panel.views[0].series.empty()) return "";
  const double bars = static_cast<double>(panel.views[0].series[0].points.size());
  const double each = panel.views[0].series.size() > 1 ? 30 : 22;
  return fmt::format(" style=\"height:{}px\"", static_cast<i64>(std::fmin(2400, 90 + each * bars)));
}

std::string csv_link(const std::string& name, const std::string& csv, const std::string& text) {
  return fmt::format("<a class=\"download\" download=\"{}.csv\" href=\"{}\">{}</a>", name, data_uri_csv(csv),
                     html_escape(text));
}

std::string figure_html(const Figure& figure, i64 number) {
  const std::string id = html_escape(figure.id);
  std::string out =
      fmt::format("<figure id=\"figure-{0}\" data-figure=\"{0}\">\n<h3>{1}. {2}</h3>\n<div class=\"panels{3}\">\n", id,
                  number, html_escape(figure.title), !figure.panels.empty() && figure.panels[0].bars ? " narrow" : "");
  for (std::size_t i = 0; i < figure.panels.size(); ++i) {
    const Panel& panel = figure.panels[i];
    const auto same = [&](std::size_t other) {
      return other < figure.panels.size() && figure.panels[other].selector == panel.selector;
    };
    // A menu for several panels is above them, a menu for one inside it.
    const bool menu = !panel.selector.empty() && panel.views.size() > 1 && (i == 0 || !same(i - 1));
    if (menu && same(i + 1)) out += choice_html(panel);
    out += "<div class=\"panel\"><h4>" + html_escape(panel.title) + "</h4>";
    if (menu && !same(i + 1)) out += choice_html(panel);
    out += fmt::format(
        "<div class=\"plot\"{}><canvas data-panel=\"{}\" role=\"img\" aria-label=\"{}\"></canvas></div></div>\n",
        plot_style(panel), i, html_escape(figure.title + ": " + panel.title));
  }
  out += "</div>\n" + strips_html(figure);
  if (!figure.svg.empty()) out += "<div class=\"scroll\">\n" + figure.svg + "</div>\n";
  return out + fmt::format("<figcaption>{} {}</figcaption>\n</figure>\n", html_escape(figure.caption),
                           csv_link(id, figure.csv.text(), "data as CSV"));
}

std::string header_html(const StudyRecords& study, const std::string& title) {
  std::string out = "<header>\n<h1>" + html_escape(title) + "</h1>\n";
  const char* kind = study.is_study ? "study" : study.runs.empty() ? "folder" : "run";
  out += fmt::format("<p class=\"meta\">{} {}", kind, html_escape(study.study.get_string("name", "")));
  const RunCounts counts = run_counts(study);
  if (!study.runs.empty())
    out += fmt::format(" &middot; {} of {} done", counts.runs_done, format_plural(counts.runs, "run"));
  if (counts.trials > 0) out += fmt::format(" &middot; {}", format_plural(counts.trials, "learning-rate trial"));
  if (study.runs_left_out > 0) out += fmt::format(" &middot; {} left out", format_plural(study.runs_left_out, "run"));
  if (study.time_last.size() >= 16) {
    out += fmt::format(" &middot; records up to {} {} UTC", html_escape(study.time_last.substr(0, 10)),
                       html_escape(study.time_last.substr(11, 5)));
  }
  return out + " &middot; made by moebius from the records alone</p>\n</header>\n";
}

// The answer in three parts; what is behind it folds away.
std::string summary_body(const StudyRecords& study, const Summary& summary) {
  const Answer answer = answer_build(study);
  std::string out = "<dl class=\"answer\">";
  const auto add = [&](const char* term, const std::string& text) {
    if (!text.empty()) out += fmt::format("<dt>{}</dt><dd>{}</dd>", term, html_escape(text));
  };
  add("Asked", answer.asked);
  add("Found", answer.found);
  add("Not known", answer.open);
  out += "</dl>\n";
  std::string cards = "<div class=\"summary\">\n";
  const auto card = [&](const char* title, const std::vector<std::string>& sentences) {
    if (!sentences.empty())
      cards += fmt::format("<div class=\"card\"><h3>{}</h3>{}</div>\n", title, list_of(sentences));
  };
  card("What was done", summary.done);
  card("What the numbers show", summary.shows);
  card("What the numbers do not show", summary.shows_not);
  cards += "</div>\n";
  if (!summary.spreads.empty()) cards += html_table(table_spreads(summary));
  // Without hypotheses the details are all there is to say.
  const bool has_answer = study.verdicts && !study.verdicts->hypotheses.empty();
  return out +
         (has_answer ? details("Details: what was done, what the numbers show, and what they do not", cards) : cards);
}

std::string runs_body(const StudyRecords& study) {
  std::string out = html_table(table_models(study)) + html_table(table_training(study));
  const Table scores = table_scores(study), grades = table_grades(study);
  if (!scores.rows.empty()) out += html_table(scores);
  if (!grades.rows.empty() && grades.columns.size() <= 20) {
    out += details("Scores by grade of difficulty", html_table(grades));
  }
  return out + "<p>" + csv_link("runs", runs_csv(study), "all runs as CSV") + " " +
         csv_link("scores", scores_csv(study), "all scores as CSV") + "</p>\n";
}

std::string learning_rate_body(const StudyRecords& study) {
  std::string out;
  const std::string rule = study.study.get_string("learning_rate_rule", "");
  if (!rule.empty()) out += "<p>" + html_escape(rule) + "</p>\n";
  const Table sweep = table_sweep(study);
  if (!sweep.rows.empty()) out += html_table(sweep);
  return out.empty() ? "<p>The study has no learning rate rule and no sweep; the table of models has the rates.</p>\n"
                     : out;
}

std::string setting_body(const StudyRecords& study) {
  std::string out;
  for (const Table& table : {table_data(study), table_evaluations(study)}) {
    if (!table.rows.empty()) out += html_table(table);
  }
  const auto facts = machine_facts(study);
  if (facts.empty()) return out;
  out += "<h3>Machine and seeds</h3>\n<dl>";
  for (const auto& [name, value] : facts)
    out += "<div><dt>" + html_escape(name) + "</dt><dd>" + html_escape(value) + "</dd></div>";
  return out + "</dl>\n";
}

std::string recommended_body(const FitFile& fit) {
  const std::vector<std::string> sentences = recommended_sentences(fit);
  std::string out = "<p class=\"effect\">" + html_escape(sentences.front()) + "</p>\n";
  const bool none = !fit.recommended || fit.recommended->choices.empty();
  if (sentences.size() > 1) {
    const std::string reasons = list_of({sentences.begin() + 1, sentences.end()});
    out += none ? details("Why", reasons) : reasons;
  }
  if (fit.recommended && !fit.recommended->choices.empty()) out += html_table(table_choices(fit));
  return out;
}

std::string laws_body(const FitFile& fit, const std::string& figures) {
  std::string out;
  if (fit.loss.laws.empty() && fit.loss.skipped.empty()) {
    out += "<p>No loss law was fitted.</p>\n";
  } else {
    out += html_table(table_laws(fit));
    const std::vector<std::string> notes = law_notes(fit);
    if (!notes.empty()) out += details("Notes on the laws", list_of(notes));
  }
  const Table coefficients = table_coefficients(fit);
  if (!coefficients.rows.empty()) out += details("Coefficients with their intervals", html_table(coefficients));
  out += figures;
  for (const Table& table : {table_task_laws(fit), table_turning_points(fit)}) {
    if (table.rows.empty()) continue;
    const std::string text = html_table(table);
    const std::size_t rows = table.rows.size();
    out += rows <= 16 ? text : details(fmt::format("{}: {} rows", table.title, rows), text);
  }
  if (!fit.tasks.left_out.empty()) out += "<h3>Runs that the laws could not use</h3>\n" + list_of(fit.tasks.left_out);
  return out;
}

constexpr const char* kMethod =
    "<p>A configuration is a model with all of its seeds. Intervals in figures are 95 %: Student's t over seeds if there "
    "are at least two, otherwise 1.96 standard errors over test items, which says nothing about other seeds. Hypotheses "
    "are tested by a bootstrap that resamples the seeds of every configuration and adds the items' standard errors; with "
    "few seeds, the interval is widened. A verdict other than unresolved requires three seeds of every configuration, "
    "all runs finished, and an effect outside noise. All models of a seed answer the same items, so item errors partly cancel in "
    "differences; the intervals are therefore conservative. Verdicts hold for the configurations that were tested, not "
    "beyond them.</p>\n";

std::string figures_script(const std::vector<Figure>& figures) {
  Json all = Json::array();
  for (const Figure& figure : figures) all.push_back(figure_json(figure));
  std::string out =
      "<script type=\"application/json\" id=\"figures-data\">" + json_for_script(all) + "</script>\n<script>\n";
  out += asset_chart_js();
  out += "\n</script>\n<script>\n";
  out += asset_page_js();
  return out + "</script>\n";
}

}  // namespace

std::string html_escape(std::string_view text) {
  return escaped(text, "&<>\"'", {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"});
}

std::string json_for_script(const Json& value) {
  return escaped(value.dump(), "<>&", {"\\u003c", "\\u003e", "\\u0026"});
}

std::string data_uri_csv(std::string_view csv) {
  std::string out = "data:text/csv;charset=utf-8,";
  for (const char c : csv) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
                       c == '-' || c == '_' || c == ',';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<u8>(c));
    }
  }
  return out;
}

std::string html_table(const Table& table) {
  std::string out = fmt::format("<h3>{}</h3>\n<div class=\"scroll\"><table><thead><tr>", html_escape(table.title));
  for (const Column& column : table.columns) {
    const std::string hint = column.hint.empty() ? "" : fmt::format(" title=\"{}\"", html_escape(column.hint));
    out += fmt::format("<th{}{}>{}</th>", column.number ? " class=\"number\"" : "", hint, html_escape(column.title));
  }
  out += "</tr></thead><tbody>\n";
  for (const auto& row : table.rows) {
    out += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i) {
      std::string style = table.columns[i].number ? "number" : "";
      if (!row[i].style.empty()) style += (style.empty() ? "" : " ") + row[i].style;
      out += style.empty() ? "<td>" : "<td class=\"" + style + "\">";
      out += html_escape(row[i].text) + "</td>";
    }
    out += "</tr>\n";
  }
  out += "</tbody></table></div>\n";
  if (!table.note.empty()) out += "<p class=\"small\">" + html_escape(table.note) + "</p>\n";
  return out;
}

std::string html_page(const StudyRecords& study, const Summary& summary, const std::vector<Figure>& figures) {
  std::string title = study.study.get_string("title", "");
  if (title.empty()) title = "Study " + study.study.get_string("name", "");
  std::string body, laws;
  i64 number = 0;
  for (const Figure& figure : figures) (figure.of_laws ? laws : body) += figure_html(figure, ++number);
  struct Part {
    std::string id, title, nav, body;
  };
  std::vector<Part> parts = {{"summary", "Summary", "Summary", summary_body(study, summary)}};
  if (study.verdicts && !study.verdicts->hypotheses.empty())
    parts.push_back({"hypotheses", "Hypotheses", "Hypotheses", hypotheses_body(*study.verdicts)});
  if (study.has_fit) {
    parts.push_back({"recommended", "Recommended model", "Recommended model", recommended_body(study.fit)});
  }
  if (!body.empty()) parts.push_back({"figures", "Figures", "Figures", body});
  if (study.has_fit) parts.push_back({"laws", "Scaling laws", "Laws", laws_body(study.fit, laws)});
  if (!study.runs.empty()) parts.push_back({"runs", "All runs", "All runs", runs_body(study)});
  if (study.is_study) parts.push_back({"learning-rate", "Learning rate", "", learning_rate_body(study)});
  const std::string setting = setting_body(study);
  if (!setting.empty()) parts.push_back({"setting", "Setting", "Setting", setting});
  if (!study.runs.empty()) parts.push_back({"method", "How to read the intervals", "Method", kMethod});
  std::string out = head(title) + header_html(study, title) + "<nav>";
  for (const Part& part : parts) {
    if (!part.nav.empty()) out += fmt::format("<a href=\"#{}\">{}</a>", part.id, part.nav);
  }
  out += "</nav>\n<main>\n";
  if (!figures.empty()) {
    out += "<noscript><p>The figures require JavaScript. Without it, their data is available as CSV.</p></noscript>\n";
  }
  for (const Part& part : parts) out += section(part.id, part.title, part.body);
  return out + "</main>\n" + figures_script(figures) + "</body>\n</html>\n";
}

}  // namespace moebius::report
