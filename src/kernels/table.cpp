// The table of the chosen instruction set. In: isa_current. Out: function pointers.
#include "kernels/table.h"

#include <atomic>

#include "kernels/isa.h"

namespace moebius::kernels {

namespace {

std::atomic<const OpTable*>& overriding() {
  static std::atomic<const OpTable*> table{nullptr};
  return table;
}

const OpTable& table_of(Isa isa) {
  switch (isa) {
#if defined(__x86_64__)
    case Isa::avx2: return avx2_table();
    case Isa::avx512: return avx512_table();
    case Isa::amx: return amx_table();
#endif
    default: return portable_table();
  }
}

}  // namespace

void override_table(const OpTable* table) { overriding().store(table); }

const OpTable& current_table() {
  const OpTable* table = overriding().load(std::memory_order_relaxed);
  return table != nullptr ? *table : table_of(isa_current());
}

const OpTable& vector_table() {
  const OpTable* table = overriding().load(std::memory_order_relaxed);
  if (table != nullptr && !table->tiles) return *table;
  const Isa isa = isa_current();
  return table_of(isa == Isa::amx ? Isa::avx512 : isa);
}

}  // namespace moebius::kernels
