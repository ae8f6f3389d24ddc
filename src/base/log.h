// Messages for people, on standard error. Standard output belongs to results (--json).
#pragma once

#include <string>
#include <string_view>

namespace moebius {

enum class LogLevel { debug, info, warning, error };

void log_set_level(LogLevel level);
std::string log_level_name();                    // of the level that was set
LogLevel log_level_of(const std::string& name);  // debug, warning, error; anything else is info
void log_message(LogLevel level, std::string_view text);
inline void log_info(std::string_view text) { log_message(LogLevel::info, text); }
inline void log_warning(std::string_view text) { log_message(LogLevel::warning, text); }
inline void log_debug(std::string_view text) { log_message(LogLevel::debug, text); }

}  // namespace moebius
