// The item records of a run's last evaluation (RUN/items/NAME.jsonl, docs/formats.md): what each item adds to a score,
// so that runs that answered the same items can be compared item by item. In: a run and a metric path. Out: one number
// per item. Not for the score itself: metric.h.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "records/run_records.h"

namespace moebius::records {

// The file in RUN/items with the items of the task `name`, or the documents of the held-out source `name`.
std::string items_file_name(const std::string& name, bool documents);

struct ItemScores {
  std::vector<std::string> keys;  // the same text for the same item in every run
  // With the mean 0: by how much an item moves the metric, times the number of items. The items' standard error of the
  // metric is the standard deviation of these over the square root of their number.
  std::vector<double> influence;
};

// Nothing when the run has no records of these items, or their mean is not the metric of `path` (an older evaluation).
std::optional<ItemScores> item_scores(const RunRecords& run, const std::string& path);

// The item records of several runs, matched.
class PairedItems {
 public:
  // configuration[r]: of runs[r]. The score of a run is its metric paths[0] minus, if given, its metric paths[1].
  PairedItems(const std::vector<const RunRecords*>& runs, const std::vector<std::size_t>& configuration,
              const std::vector<std::string>& paths);

  // The standard error over items of sum_r weights[r] * score_r: an item that several runs answered enters with the
  // sum of its influences. If each seed had other items, the spread between seeds has the items' noise in it already,
  // and the result is 0. NaN when a run with a weight has no item records.
  double standard_error(const std::vector<double>& weights) const;

 private:
  struct Term {
    std::size_t item;
    double influence;  // over the number of items; negative for paths[1]
  };
  std::vector<std::vector<Term>> terms_;  // of each run; empty: no records
  std::size_t items_ = 0;
  bool items_differ_ = false;  // no two seeds of a configuration share an item
};

}  // namespace moebius::records
