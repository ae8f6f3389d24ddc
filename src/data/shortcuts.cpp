// The table of shortcut solvers.
#include "data/shortcuts.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <map>

#include "base/parallel.h"

namespace moebius::data {

namespace {

constexpr double kCannot = -1;          // the solver has no answer for problems of this family
constexpr std::size_t kWordsMax = 400;  // that a 3-gram writes before it gives up

// A problem and its words.
struct View {
  const ShortcutProblem& problem;
  const ShortcutTraining& training;
  std::vector<std::string> words;       // of the prompt
  std::vector<std::string> candidates;  // words that can be the answer, in the order of the text
};

bool is_number(const std::string& word) {
  return !word.empty() && std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

double is_right(const View& v, const std::string& guess) { return guess == v.problem.answer ? 1 : 0; }

double number_is_right(const View& v, i64 number) {
  const i64 m = v.problem.modulus;
  return is_right(v, std::to_string((number % m + m) % m));
}

double answer_prior(const View& v) { return is_right(v, v.training.answer_most_frequent(v.problem.grade)); }

double copy_any(const View& v) {
  if (v.candidates.empty()) return 0;
  return static_cast<double>(std::count(v.candidates.begin(), v.candidates.end(), v.problem.answer)) /
         static_cast<double>(v.candidates.size());
}

// Any candidate but the one that the question itself names last.
double copy_other(const View& v) {
  std::vector<std::string> others;
  for (const std::string& word : v.candidates) {
    if (word != v.candidates.back()) others.push_back(word);
  }
  if (others.empty()) return 0;
  return static_cast<double>(std::count(others.begin(), others.end(), v.problem.answer)) /
         static_cast<double>(others.size());
}

double copy_first(const View& v) { return v.candidates.empty() ? 0 : is_right(v, v.candidates.front()); }
double copy_last(const View& v) { return v.candidates.empty() ? 0 : is_right(v, v.candidates.back()); }

// The word that the prompt repeats most; ties are shared.
double copy_most_frequent(const View& v) {
  std::map<std::string, i64> counts;
  for (const std::string& word : v.candidates) ++counts[word];
  i64 most = 0, tied = 0;
  for (const auto& [word, count] : counts) {
    if (count > most) tied = 0;
    most = std::max(most, count);
    tied += count == most;
  }
  const auto own = counts.find(v.problem.answer);
  return own != counts.end() && own->second == most ? 1.0 / static_cast<double>(tied) : 0;
}

double bag_of_numbers(const View& v) {
  if (v.problem.modulus == 0) return kCannot;
  i64 sum = 0;
  for (const std::string& word : v.words) {
    if (is_number(word)) sum += std::atoll(word.c_str());
  }
  return number_is_right(v, sum);
}

// Distribution of the sum, modulo m, of `needed` of the numbers, each set of them equally likely.
std::vector<double> sums_of_some(const std::vector<i64>& numbers, i64 needed, i64 m) {
  std::vector<std::vector<double>> ways(static_cast<std::size_t>(needed) + 1,
                                        std::vector<double>(static_cast<std::size_t>(m), 0.0));
  ways[0][0] = 1;
  for (const i64 number : numbers) {
    const i64 shift = (number % m + m) % m;
    for (auto n = static_cast<std::size_t>(needed); n > 0; --n) {
      for (i64 s = 0; s < m; ++s) {
        ways[n][static_cast<std::size_t>((s + shift) % m)] += ways[n - 1][static_cast<std::size_t>(s)];
      }
    }
  }
  double all = 0;
  for (const double w : ways.back()) all += w;
  for (double& w : ways.back()) w /= all;
  return ways.back();
}

// Adds up statements by their kind; knows how many of each kind the question needs, but not which: names are ignored.
double by_kind(const View& v) {
  if (v.problem.statements.empty()) return kCannot;
  const i64 m = v.problem.modulus;
  std::map<std::string, std::vector<i64>> numbers;
  std::map<std::string, i64> needed;
  for (const ShortcutStatement& s : v.problem.statements) {
    numbers[s.kind].push_back(s.contribution);
    needed[s.kind] += s.needed;
  }
  std::vector<double> total(static_cast<std::size_t>(m), 0.0);
  total[0] = 1;
  for (const auto& [kind, some] : numbers) {
    const std::vector<double> part = sums_of_some(some, needed[kind], m);
    std::vector<double> sum(total.size(), 0.0);
    for (std::size_t a = 0; a < total.size(); ++a) {
      for (std::size_t b = 0; b < part.size(); ++b) sum[(a + b) % total.size()] += total[a] * part[b];
    }
    total = sum;
  }
  return total[static_cast<std::size_t>(std::atoll(v.problem.answer.c_str()) % m)];
}

// Numbers and operators of an expression, parentheses left out. False unless they alternate.
bool flat_expression(const View& v, std::vector<i64>& numbers, std::vector<char>& operators) {
  for (const std::string& word : v.words) {
    if (is_number(word)) {
      numbers.push_back(std::atoll(word.c_str()));
    } else if (word == "+" || word == "-" || word == "*") {
      operators.push_back(word[0]);
    }
  }
  return v.problem.modulus > 0 && !operators.empty() && numbers.size() == operators.size() + 1;
}

i64 apply(char op, i64 a, i64 b) { return op == '+' ? a + b : op == '-' ? a - b : a * b; }

double left_to_right(const View& v) {
  std::vector<i64> numbers;
  std::vector<char> operators;
  if (!flat_expression(v, numbers, operators)) return kCannot;
  i64 value = numbers[0];
  for (std::size_t i = 0; i < operators.size(); ++i) {
    value = apply(operators[i], value, numbers[i + 1]) % v.problem.modulus;
  }
  return number_is_right(v, value);
}

double right_to_left(const View& v) {
  std::vector<i64> numbers;
  std::vector<char> operators;
  if (!flat_expression(v, numbers, operators)) return kCannot;
  i64 value = numbers.back();
  for (std::size_t i = operators.size(); i-- > 0;) value = apply(operators[i], numbers[i], value) % v.problem.modulus;
  return number_is_right(v, value);
}

// Multiplication first, parentheses ignored.
double precedence(const View& v) {
  std::vector<i64> numbers;
  std::vector<char> operators;
  if (!flat_expression(v, numbers, operators)) return kCannot;
  i64 sum = 0, product = numbers[0], sign = 1;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    if (operators[i] == '*') {
      product = product * numbers[i + 1] % v.problem.modulus;
    } else {
      sum += sign * product;
      sign = operators[i] == '-' ? -1 : 1;
      product = numbers[i + 1];
    }
  }
  return number_is_right(v, sum + sign * product);
}

// 0 if anything is multiplied by a written 0, else the answer prior.
double zero_factor(const View& v) {
  std::vector<i64> numbers;
  std::vector<char> operators;
  if (!flat_expression(v, numbers, operators)) return kCannot;
  for (std::size_t i = 0; i < operators.size(); ++i) {
    if (operators[i] == '*' && (numbers[i] == 0 || numbers[i + 1] == 0)) return is_right(v, "0");
  }
  return answer_prior(v);
}

// One look-up, whatever the question asks: the right side of the statement whose left side is the asked name. At grade 1
// that is the solution and no shortcut.
double one_look_up(const View& v) {
  if (v.problem.modulus > 0 || v.problem.grade == 1) return kCannot;
  for (std::size_t i = 0; i + 2 < v.candidates.size(); i += 2) {
    if (v.candidates[i] == v.candidates.back()) return is_right(v, v.candidates[i + 1]);
  }
  return 0;
}

// Continues the prompt with the word that follows the last two most often in the training text, up to the answer.
double three_gram(const View& v) {
  if (v.words.size() < 2) return 0;
  std::string before2 = v.words[v.words.size() - 2], before = v.words.back();
  for (std::size_t n = 0; n < kWordsMax; ++n) {
    const std::string* next = v.training.next_word(before2, before);
    if (next == nullptr) return 0;
    if (before2 == "Answer" && before == ":") return is_right(v, *next);
    before2 = before;
    before = *next;
  }
  return 0;
}

struct Shortcut {
  const char* name;
  double (*right)(const View&);  // the probability that it answers this problem right; kCannot
};

constexpr std::array kShortcuts = {
    Shortcut{"answer_prior", answer_prior},     Shortcut{"copy_any", copy_any},
    Shortcut{"copy_other", copy_other},         Shortcut{"copy_first", copy_first},
    Shortcut{"copy_last", copy_last},           Shortcut{"copy_most_frequent", copy_most_frequent},
    Shortcut{"bag_of_numbers", bag_of_numbers}, Shortcut{"by_kind", by_kind},
    Shortcut{"left_to_right", left_to_right},   Shortcut{"right_to_left", right_to_left},
    Shortcut{"precedence", precedence},         Shortcut{"zero_factor", zero_factor},
    Shortcut{"one_look_up", one_look_up},       Shortcut{"three_gram", three_gram},
};

// Ties go to the word that sorts first, so that the result does not depend on the order in a hash table.
template <typename Counts>
const std::string* most_frequent(const Counts& counts) {
  const std::string* best = nullptr;
  i64 most = 0;
  for (const auto& [word, count] : counts) {
    if (count > most || (count == most && word < *best)) {
      best = &word;
      most = count;
    }
  }
  return best;
}

std::string pair_key(const std::string& a, const std::string& b) { return a + '\n' + b; }

}  // namespace

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  bool open = false;
  for (const char c : text) {
    const bool inside = std::isalnum(static_cast<unsigned char>(c)) != 0;
    if (inside && open) {
      words.back() += c;
    } else if (std::isspace(static_cast<unsigned char>(c)) == 0) {
      words.emplace_back(1, c);
    }
    open = inside;
  }
  return words;
}

void ShortcutTraining::add_answer(i64 grade, const std::string& answer) {
  ++answers_[grade][answer];
  ++answers_all_[answer];
}

void ShortcutTraining::add_text(const std::string& document) {
  const std::vector<std::string> words = words_of(document);
  for (std::size_t i = 2; i < words.size(); ++i) ++follows_[pair_key(words[i - 2], words[i - 1])][words[i]];
}

std::string ShortcutTraining::answer_most_frequent(i64 grade) const {
  const auto own = answers_.find(grade);
  const std::string* best = most_frequent(own == answers_.end() ? answers_all_ : own->second);
  return best == nullptr ? "" : *best;
}

const std::string* ShortcutTraining::next_word(const std::string& before2, const std::string& before) const {
  const auto at = follows_.find(pair_key(before2, before));
  return at == follows_.end() ? nullptr : most_frequent(at->second);
}

std::vector<ShortcutScore> run_shortcuts(const std::vector<ShortcutProblem>& problems,
                                         const ShortcutTraining& training) {
  std::vector<std::array<double, kShortcuts.size()>> right(problems.size());
  parallel_for(static_cast<i64>(problems.size()), [&](i64 p, int) {
    const ShortcutProblem& problem = problems[static_cast<std::size_t>(p)];
    View view{problem, training, words_of(problem.prompt), {}};
    for (const std::string& word : view.words) {
      if (std::find(problem.answers.begin(), problem.answers.end(), word) != problem.answers.end())
        view.candidates.push_back(word);
    }
    for (std::size_t s = 0; s < kShortcuts.size(); ++s)
      right[static_cast<std::size_t>(p)][s] = kShortcuts[s].right(view);
  });
  std::vector<ShortcutScore> scores;
  for (std::size_t s = 0; s < kShortcuts.size(); ++s) {
    double sum = 0;
    bool can = !problems.empty();
    for (const auto& one : right) {
      can &= one[s] >= 0;
      sum += one[s];
    }
    if (can) scores.push_back({kShortcuts[s].name, sum / static_cast<double>(problems.size())});
  }
  return scores;
}

}  // namespace moebius::data
