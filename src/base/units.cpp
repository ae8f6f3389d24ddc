// Parsing and printing of counts, bytes and durations.
#include "base/units.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <utility>

namespace moebius {

namespace {

struct Suffix {
  std::string_view text;
  double factor;
};

constexpr Suffix kCountSuffixes[] = {{"", 1.0},  {"k", 1e3}, {"K", 1e3}, {"M", 1e6},
                                     {"B", 1e9}, {"G", 1e9}, {"T", 1e12}};
constexpr Suffix kByteSuffixes[] = {{"", 1.0},
                                    {"B", 1.0},
                                    {"kB", 1e3},
                                    {"KB", 1e3},
                                    {"MB", 1e6},
                                    {"GB", 1e9},
                                    {"TB", 1e12},
                                    {"KiB", 1024.0},
                                    {"MiB", 1048576.0},
                                    {"GiB", 1073741824.0},
                                    {"TiB", 1099511627776.0}};

template <std::size_t N>
std::optional<i64> parse_with(std::string_view text, const Suffix (&suffixes)[N]) {
  double value = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (code != std::errc() || !std::isfinite(value)) return std::nullopt;
  std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  for (const Suffix& suffix : suffixes) {
    if (rest != suffix.text) continue;
    const double product = value * suffix.factor;
    if (std::fabs(product) > 9e18 || std::fabs(product - std::round(product)) > 1e-6 * std::fabs(product)) {
      return std::nullopt;
    }
    return static_cast<i64>(std::llround(product));
  }
  return std::nullopt;
}

std::string scaled(double value, const std::pair<double, const char*>* steps, int count) {
  for (int i = 0; i < count; ++i) {
    if (std::fabs(value) >= steps[i].first) {
      const double v = value / steps[i].first;
      return fmt::format("{:.{}f}{}", v, v >= 100 ? 0 : v >= 10 ? 1 : 2, steps[i].second);
    }
  }
  return fmt::format("{:g}", value);
}

}  // namespace

std::optional<i64> parse_count(std::string_view text) { return parse_with(text, kCountSuffixes); }
std::optional<i64> parse_bytes(std::string_view text) { return parse_with(text, kByteSuffixes); }

std::string format_count(double value) {
  static constexpr std::pair<double, const char*> steps[] = {{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}};
  return scaled(value, steps, 4);
}

std::string format_bytes(double bytes) {
  static constexpr std::pair<double, const char*> steps[] = {
      {1099511627776.0, " TiB"}, {1073741824.0, " GiB"}, {1048576.0, " MiB"}, {1024.0, " KiB"}};
  return std::fabs(bytes) < 1024 ? fmt::format("{:.0f} B", bytes) : scaled(bytes, steps, 4);
}

std::string format_seconds(double seconds) {
  if (!std::isfinite(seconds)) return "?";
  if (seconds < 60) return fmt::format("{:.1f} s", seconds);
  const i64 whole = static_cast<i64>(std::llround(seconds));
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
}

std::string format_flops(double flops) {
  static constexpr std::pair<double, const char*> steps[] = {{1e24, " YFLOP"}, {1e21, " ZFLOP"}, {1e18, " EFLOP"},
                                                             {1e15, " PFLOP"}, {1e12, " TFLOP"}, {1e9, " GFLOP"},
                                                             {1e6, " MFLOP"}};
  return scaled(flops, steps, 7);
}

std::string format_exact(i64 value) {
  std::string digits = fmt::format("{}", value < 0 ? -value : value);
  for (i64 at = static_cast<i64>(digits.size()) - 3; at > 0; at -= 3) digits.insert(static_cast<std::size_t>(at), ",");
  return value < 0 ? "-" + digits : digits;
}

std::string format_plural(i64 count, std::string_view word, std::string_view many) {
  return count == 1 || !many.empty() ? fmt::format("{} {}", count, count == 1 ? word : many)
                                     : fmt::format("{} {}s", count, word);
}

std::string csv_field(std::string_view text) {
  const bool blank_at_end = !text.empty() && (text.front() == ' ' || text.back() == ' ');
  if (text.find_first_of(",\"\r\n\t") == std::string_view::npos && !blank_at_end) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace moebius
