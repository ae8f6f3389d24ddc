// Sets from the generated tables. Names as in Oniguruma's list of properties.
#include "data/unicode_sets.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <unordered_map>

#include "data/unicode_tables.h"

namespace moebius::data {

namespace {

// In the order of the numbers in kCategoryRuns; after the comma the long name.
constexpr const char* kCategoryNames[] = {"cc,control",
                                          "cf,format",
                                          "cn,unassigned",
                                          "co,privateuse",
                                          "cs,surrogate",
                                          "ll,lowercaseletter",
                                          "lm,modifierletter",
                                          "lo,otherletter",
                                          "lt,titlecaseletter",
                                          "lu,uppercaseletter",
                                          "mc,spacingmark",
                                          "me,enclosingmark",
                                          "mn,nonspacingmark",
                                          "nd,decimalnumber",
                                          "nl,letternumber",
                                          "no,othernumber",
                                          "pc,connectorpunctuation",
                                          "pd,dashpunctuation",
                                          "pe,closepunctuation",
                                          "pf,finalpunctuation",
                                          "pi,initialpunctuation",
                                          "po,otherpunctuation",
                                          "ps,openpunctuation",
                                          "sc,currencysymbol",
                                          "sk,modifiersymbol",
                                          "sm,mathsymbol",
                                          "so,othersymbol",
                                          "zl,lineseparator",
                                          "zp,paragraphseparator",
                                          "zs,spaceseparator"};
// Groups of categories: long name and letters.
constexpr std::pair<const char*, const char*> kCategoryGroups[] = {
    {"letter", "l"},      {"lc", "lu,ll,lt"},     {"casedletter", "lu,ll,lt"},
    {"mark", "m"},        {"combiningmark", "m"}, {"number", "n"},
    {"punctuation", "p"}, {"symbol", "s"},        {"separator", "z"},
    {"other", "c"},       {"digit", "nd"},        {"cntrl", "cc"},
    {"punct", "p"}};

std::string folded_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c != ' ' && c != '-' && c != '_') out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return out;
}

// True when `names`, separated by commas, has this one.
bool has_name(std::string_view names, std::string_view name) {
  while (!names.empty()) {
    const std::size_t comma = std::min(names.find(','), names.size());
    if (names.substr(0, comma) == name) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

// Members of a list of categories, each by its first letter or both.
CodeSet runs_of(const std::string& categories) {
  constexpr std::size_t kCount = std::size(kCategoryNames);
  bool wanted[kCount] = {};
  for (std::size_t i = 0; i < kCount; ++i) {
    const std::string_view both(kCategoryNames[i], 2);
    wanted[i] = has_name(categories, both) || has_name(categories, both.substr(0, 1));
  }
  CodeSet set;
  NumberReader reader(kCategoryRuns);
  for (u32 at = 0; !reader.done();) {
    const u32 category = reader.next();
    const u32 length = reader.next();
    if (wanted[category]) set.add(at, at + length - 1);
    at += length;
  }
  return set;
}

std::optional<CodeSet> named_set(std::string_view name) {
  for (i64 i = 0; i < kNamedSetsCount; ++i) {
    if (!has_name(kNamedSets[i].names, name)) continue;
    CodeSet set;
    NumberReader reader(kNamedSets[i].runs);
    for (u32 at = 0; !reader.done();) {
      at += reader.next();
      const u32 length = reader.next();
      set.add(at, at + length - 1);
      at += length;
    }
    return set;
  }
  return std::nullopt;
}

CodeSet joined(CodeSet a, const CodeSet& b) {
  a.add(b);
  return a;
}

// What has no table of its own. Empty when the name is not one of these.
std::optional<CodeSet> derived_set(const std::string& name) {
  const CodeSet hex = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}};
  if (name == "any") return CodeSet{{0, kCodeMax}};
  if (name == "assigned") return runs_of("cn").complement();
  if (name == "ascii") return CodeSet{{0, 127}};
  if (name == "alnum") return joined(*named_set("alphabetic"), runs_of("nd"));
  if (name == "blank") return joined(runs_of("zs"), {{'\t', '\t'}});
  if (name == "graph") return runs_of("cc,cn,cs,z").complement();
  if (name == "print") return runs_of("cc,cn,cs,zl,zp").complement();
  if (name == "space" || name == "whitespace" || name == "wspace") return space_set();
  if (name == "word") return word_set();
  if (name == "xdigit" || name == "asciihexdigit" || name == "ahex") return hex;
  return std::nullopt;
}

struct CaseTables {
  std::unordered_map<u32, u32> least;                  // of those that are not the least of their group
  std::unordered_map<u32, std::vector<u32>> group_of;  // by the least
  std::vector<CaseSequence> sequences;

  CaseTables() {
    NumberReader folds(kCaseFolds);
    for (u32 code = 0; !folds.done();) {
      code += folds.next();
      const u32 first = code - folds.next();
      least[code] = first;
      group_of[first].push_back(code);
    }
    NumberReader reader(kCaseSequences);
    while (!reader.done()) {
      CaseSequence sequence;
      sequence.code = reader.next();
      sequence.folded.resize(reader.next());
      for (u32& code : sequence.folded) {
        code = reader.next();
        if (const auto found = least.find(code); found != least.end()) code = found->second;
      }
      sequences.push_back(std::move(sequence));
    }
  }
};

const CaseTables& case_tables() {
  static const CaseTables instance;
  return instance;
}

}  // namespace

CodeSet::CodeSet(std::initializer_list<CodeRange> ranges) {
  for (const CodeRange& range : ranges) add(range.first, range.last);
}

void CodeSet::add(u32 first, u32 last) {
  if (!ranges_.empty() && sorted_ && first <= ranges_.back().last + 1) sorted_ = false;
  ranges_.push_back({first, last});
}

void CodeSet::add(const CodeSet& other) {
  ranges_.insert(ranges_.end(), other.ranges_.begin(), other.ranges_.end());
  sorted_ = false;
}

const std::vector<CodeRange>& CodeSet::ranges() const {
  if (sorted_) return ranges_;
  std::sort(ranges_.begin(), ranges_.end(), [](const CodeRange& a, const CodeRange& b) { return a.first < b.first; });
  std::size_t kept = 0;
  for (std::size_t i = 1; i < ranges_.size(); ++i) {
    if (ranges_[i].first <= ranges_[kept].last + 1) {
      ranges_[kept].last = std::max(ranges_[kept].last, ranges_[i].last);
    } else {
      ranges_[++kept] = ranges_[i];
    }
  }
  if (!ranges_.empty()) ranges_.resize(kept + 1);
  sorted_ = true;
  return ranges_;
}

bool CodeSet::contains(u32 code) const {
  const auto& list = ranges();
  const auto after = std::upper_bound(list.begin(), list.end(), code,
                                      [](u32 value, const CodeRange& range) { return value < range.first; });
  return after != list.begin() && code <= (after - 1)->last;
}

CodeSet CodeSet::complement() const {
  CodeSet out;
  u32 next = 0;
  for (const CodeRange& range : ranges()) {
    if (range.first > next) out.add(next, range.first - 1);
    next = range.last + 1;
  }
  if (next <= kCodeMax) out.add(next, kCodeMax);
  return out;
}

CodeSet CodeSet::intersection(const CodeSet& other) const {
  return joined(complement(), other.complement()).complement();
}

CodeSet category_set(std::string_view categories) {
  std::string lower(categories);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return runs_of(lower);
}

std::optional<CodeSet> property_set(std::string_view name) {
  const std::string wanted = folded_name(name);
  for (const char* names : kCategoryNames) {
    if (has_name(names, wanted)) return runs_of(std::string(names, 2));
  }
  if (wanted.size() == 1 && std::strchr("clmnpsz", wanted[0]) != nullptr) return runs_of(wanted);
  for (const auto& [group, letters] : kCategoryGroups) {
    if (wanted == group) return runs_of(letters);
  }
  if (auto set = derived_set(wanted)) return set;
  return named_set(wanted);
}

std::optional<CodeSet> posix_set(std::string_view name) {
  // Two of them differ from the properties of the same name.
  if (name == "punct") return runs_of("p,s");
  if (name == "word") return joined(*named_set("alphabetic"), runs_of("m,nd,pc"));
  for (const char* known :
       {"alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "space", "upper", "xdigit"}) {
    if (name == known) return property_set(name);
  }
  return std::nullopt;
}

const CodeSet& word_set() {
  static const CodeSet instance = [] {
    // Oniguruma's table of the first 256 characters also has the superscripts and fractions.
    CodeSet set = joined(*named_set("alphabetic"), runs_of("m,nd,pc"));
    set.add({{0xB2, 0xB3}, {0xB9, 0xB9}, {0xBC, 0xBE}});
    set.ranges();
    return set;
  }();
  return instance;
}

const CodeSet& space_set() {
  static const CodeSet instance = [] {
    CodeSet set = joined(runs_of("z"), {{'\t', '\r'}, {0x85, 0x85}});
    set.ranges();
    return set;
  }();
  return instance;
}

void close_case(CodeSet& set) {
  CodeSet extra;
  for (const auto& [least, others] : case_tables().group_of) {
    bool any = set.contains(least);
    for (const u32 code : others) any = any || set.contains(code);
    if (!any) continue;
    extra.add(least, least);
    for (const u32 code : others) extra.add(code, code);
  }
  set.add(extra);
}

u32 case_fold(u32 code) {
  const auto found = case_tables().least.find(code);
  return found == case_tables().least.end() ? code : found->second;
}

const std::vector<CaseSequence>& case_sequences() { return case_tables().sequences; }

void CodeTable::set(const std::vector<u8>& flat) {
  page_of_.resize((kCodeMax + 1) / 256);
  pages_.clear();
  for (std::size_t page = 0; page < page_of_.size(); ++page) {
    const u8* data = flat.data() + page * 256;
    std::size_t found = 0;
    const std::size_t known = pages_.size() / 256;
    while (found < known && std::memcmp(pages_.data() + found * 256, data, 256) != 0) ++found;
    if (found == known) pages_.insert(pages_.end(), data, data + 256);
    page_of_[page] = static_cast<u16>(found);
  }
}

}  // namespace moebius::data
