// Whether this machine's tiles can be trusted: small products by AMX and by the vector set, in a child process, so that
// a fault there (a hypervisor that offers tiles but traps them) disables the tiles and does not end the program. In:
// two tables. Out: yes or no. Not for speed, nor for the other sets, which every test machine runs.
#pragma once

#include "kernels/table.h"

namespace moebius::kernels {

// The two bf16 products of a table, and attention's head, against those of `other` on small operands, within bf16
// rounding.
bool products_agree(const OpTable& table, const OpTable& other);

// Runs `check` in a child: true only when it returned true there. A crash or no child is false.
bool holds_in_child(bool (*check)());

}  // namespace moebius::kernels
