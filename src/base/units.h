// Numbers as people write and read them: 1.5M, 80GiB, 2h 05m.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/types.h"

namespace moebius {

// "4096", "2M", "1.5B", "1e6", "64k" (powers of 1000). Nothing when it is not a whole number.
std::optional<i64> parse_count(std::string_view text);
// "80GiB", "512MB", "1000". Bytes.
std::optional<i64> parse_bytes(std::string_view text);

std::string format_count(double value);      // 1.73B
std::string format_bytes(double bytes);      // 3.4 GiB
std::string format_seconds(double seconds);  // 2h 05m, 3m 20s, 12.3 s
std::string format_flops(double flops);      // 1.39e+20 as "139 EFLOP"
// "1 run", "2 runs"; `many` where it is not the word with an s: "2 hypotheses".
std::string format_plural(i64 count, std::string_view word, std::string_view many = "");
// As a field of a CSV: quoted when it must be.
std::string csv_field(std::string_view text);
// With separators: 1,729,905,152.
std::string format_exact(i64 value);

}  // namespace moebius
