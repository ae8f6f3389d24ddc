// Ctrl-C and SIGTERM set a flag; long work looks at it at points where nothing is lost. A second Ctrl-C ends at once.
#pragma once

namespace moebius {

void interrupt_install();
// In a child whose parent hands on what it is told: Ctrl-C, which a terminal sends to both, is left to the parent, and the
// flag is set by SIGTERM, however often it comes.
void interrupt_install_in_child();
bool interrupt_requested();
// Throws Error("interrupted") when requested; `what_is_safe` says what was saved and how to go on.
void interrupt_check(const char* what_is_safe);

}  // namespace moebius
