// Rules about wording: words that stand for a term of the field, and error texts that are questions. They read pages,
// scripts, and of C++ sources the comments and string literals.
#include <algorithm>
#include <cctype>
#include <regex>
#include <utility>

#include "rules.h"

namespace moebius::tidy {

namespace {

// What people read in a file, in lower case: white space, comment marks and the quotes between adjacent literals are one
// space, so that a phrase is found across line ends. Code becomes '|'.
struct Prose {
  std::string text;
  std::vector<int> line;  // of each character
};

Prose prose_of(const SourceFile& file) {
  Prose prose;
  int line = 1;
  const auto add = [&](char c) {
    const bool space = std::isspace(static_cast<unsigned char>(c)) != 0;
    if (space && !prose.text.empty() && prose.text.back() == ' ') return;
    prose.text += space ? ' ' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    prose.line.push_back(line);
  };
  const bool cpp = is_cpp(file.path);
  bool line_start = true;
  for (std::size_t i = 0; i < file.text.size(); ++i) {
    const char c = file.text[i];
    const bool comment_mark = line_start && (c == '/' || c == '#' || c == '>');
    if (cpp && file.code[i] != ' ' && file.code[i] != '\n') {
      add('|');
    } else {
      add(comment_mark || (cpp && (c == '"' || c == '/')) ? ' ' : c);
    }
    if (c == '\n') ++line;
    line_start = c == '\n' || (line_start && (comment_mark || c == ' '));
  }
  return prose;
}

struct WordRule {
  std::string key;      // occurs in every match: looked for first, because it is fast
  std::regex pattern;   // what is not wanted
  std::regex allowed;   // matches around it that are good English; empty: none
  std::string instead;  // the field's words
};

// Each entry is a word that older texts of the project used for one of the terms at its end.
const std::vector<WordRule>& word_rules() {
  const auto rule = [](const char* key, const char* pattern, const char* allowed, const char* instead) {
    return WordRule{key, std::regex(pattern), std::regex(*allowed == '\0' ? "(?!)" : allowed), instead};
  };
  static const std::vector<WordRule> kRules = {
      rule("ahead", R"(\bask(s|ed|ing)?\b( [\w,']+){0,5} ahead\b)", "", "prefetch"),
      rule("anew", R"(\banew\b)", "", "again, recompute"),
      rule("so many", R"(\bso many\b)", R"(\bso many( \w+){1,4} that\b)", "N, the number of"),
      rule("o on", R"(\bgo on\b)", "", "resume, continue"),
      rule("goes on", R"(\bgoes on\b)", R"(what goes on\b)", "resume, continue"),
      rule("went on", R"(\bwent on\b)", "", "resume, continue"),
      rule("n up", R"(\btaken up\b)", R"(\b(space|room|memory) taken up)", "resume"),
      rule("took up", R"(\btook up\b)", R"(\btook up( \w+){0,3} (space|room|memory)\b)", "resume"),
      rule("the way", R"(\bthe way\b)", R"(\b(all|by|on|in) the way\b)", "path, mode, how"),
      rule("'s way", R"('s way\b)", "", "path, mode, how"),
      rule("st", R"(\b(stand|stands|stood)\b)", R"(\b(stand|stands|stood) (for|out)\b|\bstand-ins?\b)", "is"),
      rule("claim", R"(\bclaim(s|ed|ing)?\b)", "", "require, predict, state"),
      rule("hold", R"(\bholds? (0|zero)\b)", "", "includes zero"),
      rule("the better", R"(\bthe (less|more|fewer|lower|higher|smaller|larger)\b[^.;]{0,30} the better\b)", "",
           "lower (higher) is better"),
      rule("body", R"(\b(no|some|any|every)body\b)", "", "a plain statement"),
      rule("asked", R"(\basked (are|is|was|were)\b|\basked:)", "", "target"),
      rule("turn", R"(\bturn(s|ed|ing)?\b)",
           R"(\bturning[- ]points?\b|\bin turns?\b|\bturn(s|ed|ing)? (out|on|off)\b|\b(take|takes|took) turns\b)"
           R"(|\bturn(s|ed|ing)?( [\w']+){0,6} into\b|\bmore than one turn\b)",
           "transpose, rotate"),
      rule("beginning", R"(\b(shared|common) beginnings?\b|\bbeginnings\b|\bbeginning of another\b)", "",
           "shared prefix"),
      rule("mend", R"(\bmend(s|ed|ing)?\b)", "", "fix, patch"),
  };
  return kRules;
}

// Whether some match of `pattern` in `text` covers [begin, end).
bool covers(const std::string& text, const std::regex& pattern, std::size_t begin, std::size_t end) {
  for (std::sregex_iterator it(text.begin(), text.end(), pattern), last; it != last; ++it) {
    const auto from = static_cast<std::size_t>(it->position());
    if (from <= begin && end <= from + static_cast<std::size_t>(it->length())) return true;
  }
  return false;
}

void find_word(const SourceFile& file, const Prose& prose, const WordRule& rule, Findings& findings) {
  constexpr std::size_t kAround = 70;
  std::size_t done = 0;  // end of the last match
  for (std::size_t at = prose.text.find(rule.key); at != std::string::npos; at = prose.text.find(rule.key, at + 1)) {
    if (at < done) continue;
    const std::size_t begin = at < kAround ? 0 : at - kAround;
    const std::string window = prose.text.substr(begin, 2 * kAround);
    for (std::sregex_iterator it(window.begin(), window.end(), rule.pattern), last; it != last; ++it) {
      const auto from = static_cast<std::size_t>(it->position());
      const std::size_t to = from + static_cast<std::size_t>(it->length());
      if (begin + from < done || from > at - begin || to <= at - begin) continue;
      // An allowed phrase overlaps the word that makes it allowed, so test the first word of the match.
      const std::size_t word_end = std::min(window.find_first_of(" .,;:", from), to);
      if (!covers(window, rule.allowed, from, word_end)) {
        const auto line = static_cast<std::size_t>(prose.line[begin + from]);
        findings.push_back(at_line(file, line, "'" + it->str() + "': use the field's word (" + rule.instead + ")"));
      }
      done = begin + to;
    }
  }
}

}  // namespace

Findings check_words(const Files& files) {
  // Licences, tables of words, the rule's own patterns and its test.
  static const std::vector<std::string> kSkipped = {"corpora/", "src/data/unicode_tables.cpp",
                                                    "src/data/facts_words.cpp", "tests/tidy/rules_words.cpp",
                                                    "tests/tidy/tidy_test.cpp"};
  Findings findings;
  for (const SourceFile& file : files) {
    const bool skipped = std::any_of(kSkipped.begin(), kSkipped.end(),
                                     [&](const std::string& start) { return file.path.rfind(start, 0) == 0; });
    if (skipped) continue;
    const Prose prose = prose_of(file);
    for (const WordRule& rule : word_rules()) find_word(file, prose, rule, findings);
  }
  return findings;
}

Findings check_error_texts(const Files& files) {
  static const std::regex kField(R"(\.(where|wanted|got|fix)\s*=|[;}])");
  Findings findings;
  for (const SourceFile& file : files) {
    if (!is_cpp(file.path)) continue;
    std::size_t line = 1;
    std::size_t counted = 0;
    for (std::size_t at = file.code.find(".what = "); at != std::string::npos;
         at = file.code.find(".what = ", at + 1)) {
      std::smatch next;
      const std::string rest = file.code.substr(at + 1, 600);
      const std::size_t length =
          std::regex_search(rest, next, kField) ? static_cast<std::size_t>(next.position()) : rest.size();
      for (; counted < at; ++counted) line += file.text[counted] == '\n' ? 1 : 0;
      if (file.text.substr(at + 1, length).find("?\"") != std::string::npos) {
        findings.push_back(at_line(file, line, "an error's `what` is a statement, not a question"));
      }
    }
  }
  return findings;
}

}  // namespace moebius::tidy
