// The list of fields, in the order of the file.
// In, out: verdicts.h.
#include "records/verdicts.h"

#include "base/file.h"

namespace moebius::records {

void HypothesisVerdict::visit(Fields& f) {
  f("id", id)("text", text)("kind", kind).or_null("x", x)("y", y)("verdict", outcome)("effect", effect);
  f("effect_name", effect_name)("reason", reason)("configurations", configurations)("seeds", seeds);
  f("runs", runs)("runs_of_the_plan", runs_of_the_plan);
}

Verdicts verdicts_read(const std::string& path) { return fields_from_json<Verdicts>(Json::parse_file(path), path); }

Json verdicts_to_json(const Verdicts& verdicts) { return fields_to_json(verdicts); }

void verdicts_write(const Verdicts& verdicts, const std::string& path) {
  file_write_atomic(path, verdicts_to_json(verdicts).dump(1) + "\n");
}

}  // namespace moebius::records
