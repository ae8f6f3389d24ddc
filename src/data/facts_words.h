// Word lists and sentence forms of the facts task. All written for this project; common short words, so that most are
// one token of a small vocabulary. Not for other tasks.
#pragma once

#include <string>
#include <vector>

#include "base/types.h"

namespace moebius::data {

// One attribute: its values and how it is said. In a form, @ is the place of the value; the value ends the phrase, so
// that the phrase without it is a prompt.
struct FactsAttribute {
  std::string name;
  std::vector<std::string> values;
  std::vector<std::string> phrases;    // compact records: "studied @"
  std::vector<std::string> sentences;  // biographies; # is the subject: "# majored in @"
  std::string question;                // # is the full name: "What did # study?"
};

const std::vector<FactsAttribute>& facts_attributes();  // major, city, employer, university, year

// The work city follows from the employer: mentioned in biographies, but neither tested nor counted.
const std::vector<std::string>& facts_work_sentences();  // # is the subject, @ the city
// City number of an employer.
i64 facts_work_city(i64 employer, i64 cities);

}  // namespace moebius::data
