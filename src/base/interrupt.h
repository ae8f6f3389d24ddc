// Ctrl-C and SIGTERM set a flag; long work checks it at points where nothing is lost. A second one ends the process at
// once. In: signals; out: the flag. Not for other signals.
#pragma once

namespace moebius {

void interrupt_install();
// In a child whose parent forwards interrupts: Ctrl-C, which a terminal sends to both, is left to the parent, and
// SIGTERM sets the flag, no matter how often it arrives. From interrupt_block_for_child(), called between fork and
// exec, to interrupt_install_in_child() both signals wait.
void interrupt_block_for_child();
void interrupt_install_in_child();
bool interrupt_requested();
// Throws Error("interrupted") when requested; `what_is_safe` says what was saved and how to resume.
void interrupt_check(const char* what_is_safe);

}  // namespace moebius
