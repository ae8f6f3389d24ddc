// The list of fields, in the order of the file.
// In, out: verdicts.h.
#include "records/verdicts.h"

#include <fmt/format.h>

#include "base/file.h"
#include "base/units.h"

namespace moebius::records {

void HypothesisVerdict::visit(Fields& f) {
  f("id", id)("text", text)("kind", kind).or_null("x", x)("y", y);
  f.or_null("minus", minus).or_null("at", at)("verdict", outcome)("effect", effect)("p", p);
  f("effect_name", effect_name)("reason", reason)("configurations", configurations)("seeds", seeds);
  f("runs", runs)("runs_of_the_plan", runs_of_the_plan)("compared", compared);
}

std::string compared_text(const std::vector<ComparedQuantity>& compared) {
  std::vector<std::string> parts;
  const auto number = [](double value) { return value < 1 ? fmt::format("{:.3g}", value) : format_count(value); };
  for (const Held held : {Held::equal, Held::varies, Held::unknown}) {
    std::vector<std::string> names;
    for (const ComparedQuantity& one : compared) {
      if (one.held != held) continue;
      const bool range = held == Held::varies && one.low < one.high;
      names.push_back(
          range ? fmt::format("{} ({} to {}, x{:.3g})", one.name, number(one.low), number(one.high), one.high / one.low)
                : one.name);
    }
    if (!names.empty()) parts.push_back(fmt::format("{}: {}", enum_name(held), fmt::join(names, ", ")));
  }
  return fmt::format("{}", fmt::join(parts, "; "));
}

Verdicts verdicts_read(const std::string& path) { return fields_from_json<Verdicts>(Json::parse_file(path), path); }

Json verdicts_to_json(const Verdicts& verdicts) { return fields_to_json(verdicts); }

void verdicts_write(const Verdicts& verdicts, const std::string& path) {
  file_write_atomic(path, verdicts_to_json(verdicts).dump(1) + "\n");
}

}  // namespace moebius::records
