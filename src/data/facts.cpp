// The facts task: people, their records and biographies, questions of the training half, items for the other half.
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "base/check.h"
#include "base/error.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "data/facts_words.h"
#include "data/generated_tasks.h"

namespace moebius::data {

namespace {

// What a random number is for; part of the generator's step, so that no stream is used twice.
enum class Draw : u64 { names = 1, person, record, biography, half, items };

Rng rng_for(const FactsOptions& options, Draw draw, i64 person, i64 number) {
  const RngStream stream = draw == Draw::half || draw == Draw::items ? RngStream::task_split : RngStream::facts;
  return Rng(static_cast<u64>(options.seed), stream,
             static_cast<u64>(draw) << 56 | static_cast<u64>(person) << 28 | static_cast<u64>(number));
}

struct Person {
  std::string first, full;
  std::vector<i64> values;       // number of the value of each attribute
  std::vector<i64> phrase_kept;  // wording kept from training, for recall items
  std::vector<i64> sentence_kept;
  i64 exposures = 0;
  std::string grade;
  bool questions_trained = false;
};

struct World {
  FactsOptions options;
  i64 attributes = 0;
  std::vector<Person> people;
  std::vector<i64> value_counts;  // of each attribute
};

std::string phrase_text(const std::string& form, const std::string& subject, const std::string& value) {
  std::string text;
  for (const char c : form) {
    if (c == '#')
      text += subject;
    else if (c == '@')
      text += value;
    else
      text += c;
  }
  return text;
}

// A form up to its value, which comes last: the prompt, without the space before the value.
std::string prompt_of(const std::string& form, const std::string& subject) {
  std::string text = phrase_text(form, subject, "");
  CHECK(!text.empty() && text.back() == ' ', "a form ends with its value");
  text.pop_back();
  return text;
}

}  // namespace

void check(const FactsOptions& options) {
  const i64 names =
      static_cast<i64>(facts_first_names().size() * facts_middle_names().size() * facts_last_names().size());
  const auto fail = [](const std::string& what, const std::string& wanted, const std::string& got) {
    throw Error({.where = "facts task", .what = what, .wanted = wanted, .got = got});
  };
  if (options.people < 2 || options.people > names) {
    fail("the number of people is out of range", fmt::format("2 to {}", names), fmt::format("{}", options.people));
  }
  if (options.exposures.empty()) fail("no exposures are given", "a list such as 8,32,128", "nothing");
  for (const i64 e : options.exposures) {
    if (e < 1 || e > 100000) fail("exposures are out of range", "1 to 100000", fmt::format("{}", e));
  }
  if (options.attributes < 1 || options.attributes > static_cast<i64>(facts_attributes().size())) {
    fail("the number of attributes is out of range", "1 to 5", fmt::format("{}", options.attributes));
  }
  if (options.form != "compact" && options.form != "biography" && options.form != "both") {
    fail("unknown form", "compact, biography or both", options.form);
  }
  if (options.question_every < 1)
    fail("question-every is below 1", "1 or more", fmt::format("{}", options.question_every));
  if (options.values_max < 0 || options.values_max == 1 || options.items_max < 0 || options.zipf < 0) {
    fail("values-max, items-max or zipf is out of range", "0 or more; values-max 0 or at least 2", "");
  }
}

namespace {

void make_people(World& world) {
  const auto& first = facts_first_names();
  const auto& middle = facts_middle_names();
  const auto& last = facts_last_names();
  const FactsOptions& options = world.options;
  std::vector<i64> names(first.size() * middle.size() * last.size());
  Rng rng = rng_for(options, Draw::names, 0, 0);
  rng_shuffle(rng, names.data(), static_cast<i64>(names.size()));
  const i64 most = *std::max_element(options.exposures.begin(), options.exposures.end());
  world.people.resize(static_cast<std::size_t>(options.people));
  for (i64 p = 0; p < options.people; ++p) {
    Person& person = world.people[static_cast<std::size_t>(p)];
    const auto name = static_cast<std::size_t>(names[static_cast<std::size_t>(p)]);
    person.first = first[name % first.size()];
    person.full = person.first + " " + middle[name / first.size() % middle.size()] + " " +
                  last[name / first.size() / middle.size()];
    Rng draw = rng_for(options, Draw::person, p, 0);
    for (i64 a = 0; a < world.attributes; ++a) {
      const FactsAttribute& attribute = facts_attributes()[static_cast<std::size_t>(a)];
      person.values.push_back(
          static_cast<i64>(draw.next_below(static_cast<u64>(world.value_counts[static_cast<std::size_t>(a)]))));
      person.phrase_kept.push_back(static_cast<i64>(draw.next_below(attribute.phrases.size())));
      person.sentence_kept.push_back(static_cast<i64>(draw.next_below(attribute.sentences.size())));
    }
    if (options.zipf > 0) {
      const double share = std::pow(static_cast<double>(p + 1), options.zipf);
      person.exposures = std::max<i64>(1, std::llround(static_cast<double>(most) / share));
      person.grade = fmt::format("x{}", std::bit_floor(static_cast<u64>(person.exposures)));
    } else {
      person.exposures = options.exposures[static_cast<std::size_t>(p) % options.exposures.size()];
      person.grade = fmt::format("x{}", person.exposures);
    }
  }
}

// Exactly half of each grade's people (rounded up) have their questions trained.
void choose_halves(World& world) {
  std::map<std::string, std::vector<i64>> grades;
  for (std::size_t p = 0; p < world.people.size(); ++p) grades[world.people[p].grade].push_back(static_cast<i64>(p));
  for (auto& [grade, members] : grades) {
    Rng rng = rng_for(world.options, Draw::half, members.front(), 0);
    std::vector<i64> order(members.size());
    rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
    for (std::size_t i = 0; i < (members.size() + 1) / 2; ++i) {
      world.people[static_cast<std::size_t>(members[static_cast<std::size_t>(order[i])])].questions_trained = true;
    }
  }
}

// One of `count` wordings, but never the one kept for recall.
std::size_t wording(Rng& rng, std::size_t count, i64 kept) {
  const auto drawn = static_cast<std::size_t>(rng.next_below(count - 1));
  return drawn >= static_cast<std::size_t>(kept) ? drawn + 1 : drawn;
}

const std::string& value_of(const Person& person, i64 attribute) {
  const auto a = static_cast<std::size_t>(attribute);
  return facts_attributes()[a].values[static_cast<std::size_t>(person.values[a])];
}

// "Ada Acorn Abbot: studied law; from Rome; year 1934."
std::string record_text(const World& world, i64 p, i64 exposure) {
  const Person& person = world.people[static_cast<std::size_t>(p)];
  Rng rng = rng_for(world.options, Draw::record, p, exposure);
  std::vector<i64> order(static_cast<std::size_t>(world.attributes));
  rng_shuffle(rng, order.data(), world.attributes);
  std::string text = " " + person.full + ":";  // leading space: the name's tokens are those of the questions
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto a = static_cast<std::size_t>(order[i]);
    const auto& phrases = facts_attributes()[a].phrases;
    text += (i > 0 ? "; " : " ") +
            phrase_text(phrases[wording(rng, phrases.size(), person.phrase_kept[a])], "", value_of(person, order[i]));
  }
  return text + ".";
}

// Sentences in random order, the first with the full name, the others with the first name.
std::string biography_text(const World& world, i64 p, i64 exposure) {
  const Person& person = world.people[static_cast<std::size_t>(p)];
  Rng rng = rng_for(world.options, Draw::biography, p, exposure);
  const bool works = world.attributes >= 3;  // the employer is the third attribute
  std::vector<i64> order(static_cast<std::size_t>(world.attributes + (works ? 1 : 0)));
  rng_shuffle(rng, order.data(), static_cast<i64>(order.size()));
  std::string text;
  for (const i64 a : order) {
    const std::string& subject = text.empty() ? person.full : person.first;
    if (!text.empty()) text += " ";
    if (a == world.attributes) {
      const auto& forms = facts_work_sentences();
      const i64 city = facts_work_city(person.values[2], world.value_counts[1]);
      text += phrase_text(forms[rng.next_below(forms.size())], subject,
                          facts_attributes()[1].values[static_cast<std::size_t>(city)]);
    } else {
      const auto& forms = facts_attributes()[static_cast<std::size_t>(a)].sentences;
      text += phrase_text(forms[wording(rng, forms.size(), person.sentence_kept[static_cast<std::size_t>(a)])], subject,
                          value_of(person, a));
    }
    text += ".";
  }
  return text;
}

std::vector<std::string> person_documents(const World& world, i64 p) {
  const Person& person = world.people[static_cast<std::size_t>(p)];
  std::vector<std::string> documents;
  for (i64 e = 0; e < person.exposures; ++e) {
    const bool compact = world.options.form == "compact" || (world.options.form == "both" && e % 2 == 0);
    documents.push_back(compact ? record_text(world, p, e) : biography_text(world, p, e));
  }
  if (!person.questions_trained) return documents;
  const i64 rounds = (person.exposures + world.options.question_every - 1) / world.options.question_every;
  for (i64 a = 0; a < world.attributes; ++a) {
    const std::string question = phrase_text(facts_attributes()[static_cast<std::size_t>(a)].question, person.full, "");
    for (i64 r = 0; r < rounds; ++r) documents.push_back(question + " " + value_of(person, a) + ".");
  }
  return documents;
}

enum class ItemKind { question, question_trained, recall };

TaskItem make_item(const World& world, i64 p, i64 a, ItemKind kind, const std::string& task) {
  const Person& person = world.people[static_cast<std::size_t>(p)];
  const auto at = static_cast<std::size_t>(a);
  const FactsAttribute& attribute = facts_attributes()[at];
  TaskItem item;
  item.id = fmt::format("{}-{}-{}", task, p, attribute.name);
  item.task = task;
  item.grade = person.grade;
  item.skill = "memorisation";
  if (kind != ItemKind::recall) {
    item.prompt = phrase_text(attribute.question, person.full, "");
  } else if (world.options.form == "biography") {
    item.prompt = prompt_of(attribute.sentences[static_cast<std::size_t>(person.sentence_kept[at])], person.full);
  } else {
    item.prompt =
        " " + person.full + ": " + prompt_of(attribute.phrases[static_cast<std::size_t>(person.phrase_kept[at])], "");
  }
  for (i64 v = 0; v < world.value_counts[at]; ++v)
    item.choices.push_back(" " + attribute.values[static_cast<std::size_t>(v)]);
  item.answer_index = person.values[at];
  item.answer = value_of(person, a);
  item.bits_values = world.value_counts[at];
  item.extra = Json::object({{"person", p},
                             {"attribute", attribute.name},
                             {"exposures", person.exposures},
                             {"questions_trained", person.questions_trained}});
  return item;
}

// Share of each attribute's most frequent value over all people: what a model without memory of names can reach.
std::vector<double> most_frequent_shares(const World& world) {
  std::vector<double> shares;
  for (std::size_t a = 0; a < static_cast<std::size_t>(world.attributes); ++a) {
    std::vector<i64> counts(static_cast<std::size_t>(world.value_counts[a]), 0);
    for (const Person& person : world.people) ++counts[static_cast<std::size_t>(person.values[a])];
    shares.push_back(static_cast<double>(*std::max_element(counts.begin(), counts.end())) /
                     static_cast<double>(world.people.size()));
  }
  return shares;
}

Json grade_meta(const World& world, const std::vector<TaskItem>& items, i64 facts_total) {
  const std::vector<double> shares = most_frequent_shares(world);
  double chance = 0, bits = 0;
  for (const TaskItem& item : items) {
    for (std::size_t a = 0; a < shares.size(); ++a) {
      if (facts_attributes()[a].name == item.extra.at("attribute").as_string()) chance += shares[a];
    }
    bits += std::log2(static_cast<double>(item.bits_values));
  }
  const double count = static_cast<double>(items.size());
  return Json::object({{"items", static_cast<i64>(items.size())},
                       {"facts_total", facts_total},
                       {"chance", chance / count},
                       {"baselines", Json::object({{"most_frequent", chance / count}})},
                       {"chance_best", chance / count},
                       {"bits_total", bits},
                       {"bits_all_facts", bits / count * static_cast<double>(facts_total)}});
}

TaskItems make_items(const World& world, ItemKind kind, const std::string& task, const Json& options) {
  std::vector<std::string> order;  // grades by exposures
  std::map<std::string, std::vector<TaskItem>> grades;
  std::vector<std::pair<i64, std::string>> by_exposure;
  for (const Person& person : world.people) by_exposure.emplace_back(std::stoll(person.grade.substr(1)), person.grade);
  std::sort(by_exposure.begin(), by_exposure.end());
  by_exposure.erase(std::unique(by_exposure.begin(), by_exposure.end()), by_exposure.end());
  for (i64 p = 0; p < world.options.people; ++p) {
    const Person& person = world.people[static_cast<std::size_t>(p)];
    if (kind == ItemKind::question && person.questions_trained) continue;
    if (kind == ItemKind::question_trained && !person.questions_trained) continue;
    for (i64 a = 0; a < world.attributes; ++a) grades[person.grade].push_back(make_item(world, p, a, kind, task));
  }
  TaskItems result;
  result.task = task;
  Json meta = Json::object();
  for (const auto& [exposures, grade] : by_exposure) {
    std::vector<TaskItem>& items = grades[grade];
    if (items.empty()) continue;
    const i64 total = static_cast<i64>(items.size());
    if (world.options.items_max > 0 && total > world.options.items_max) {
      Rng rng = rng_for(world.options, Draw::items, static_cast<i64>(kind), exposures);
      std::vector<i64> shuffled(items.size());
      rng_shuffle(rng, shuffled.data(), total);
      shuffled.resize(static_cast<std::size_t>(world.options.items_max));
      std::sort(shuffled.begin(), shuffled.end());
      std::vector<TaskItem> kept;
      for (const i64 i : shuffled) kept.push_back(std::move(items[static_cast<std::size_t>(i)]));
      items = std::move(kept);
    }
    meta.set(grade, grade_meta(world, items, total));
    for (TaskItem& item : items) result.items.push_back(std::move(item));
  }
  const bool trained = kind == ItemKind::question_trained;
  result.meta = Json::object({{"task", task},
                              {"skill", "memorisation"},
                              {"method", "choice"},
                              {"prompts_in_training", trained},
                              {"items", static_cast<i64>(result.items.size())},
                              {"grade_unit", "records of the person in training"},
                              {"grades", meta},
                              {"options", options}});
  return result;
}

}  // namespace

void describe(FactsOptions& options, OptionList& list) {
  list.add("seed", &options.seed, "seed of people and wordings", {.min = 0});
  list.add("people", &options.people, "invented people", {.min = 2, .max = 524288});
  list.add("attributes", &options.attributes, "attributes of a person: major, city, employer, university, year",
           {.min = 1, .max = 5});
  list.add("exposures", &options.exposures, "numbers of records per person in the training text, one per tier");
  list.add("zipf", &options.zipf, "above 0: exposures follow a Zipf law with this exponent", {.min = 0, .max = 4});
  list.add("form", &options.form, "form of the facts: records, sentences or both",
           {.choices = {"compact", "biography", "both"}});
  list.add("question-every", &options.question_every,
           "people with questions in training: one question per attribute and N records", {.min = 1});
  list.add("items-max", &options.items_max, "items per grade; 0: all", {.min = 0});
  list.add("values-max", &options.values_max, "cap on the values of an attribute; 0: none", {.min = 0, .max = 100});
}

GeneratedTask make_facts(const FactsOptions& options) {
  check(options);
  World world;
  world.options = options;
  world.attributes = options.attributes;
  for (i64 a = 0; a < options.attributes; ++a) {
    const i64 values = static_cast<i64>(facts_attributes()[static_cast<std::size_t>(a)].values.size());
    world.value_counts.push_back(options.values_max > 0 ? std::min(values, options.values_max) : values);
  }
  make_people(world);
  choose_halves(world);
  std::vector<std::vector<std::string>> parts(world.people.size());
  parallel_for(options.people, [&](i64 p, int) { parts[static_cast<std::size_t>(p)] = person_documents(world, p); });
  GeneratedTask task;
  task.name = "facts";
  i64 bytes = 0;
  for (auto& part : parts) {
    for (std::string& document : part) {
      bytes += static_cast<i64>(document.size());
      task.documents.push_back(std::move(document));
    }
  }
  FactsOptions resolved = options;
  OptionList list;
  describe(resolved, list);
  const Json used = list.to_json();
  task.tasks.push_back(make_items(world, ItemKind::question, "facts", used));
  task.tasks.push_back(make_items(world, ItemKind::question_trained, "facts-trained", used));
  task.tasks.push_back(make_items(world, ItemKind::recall, "facts-recall", used));
  double bits = 0;
  for (const i64 values : world.value_counts) bits += std::log2(static_cast<double>(values));
  task.summary = Json::object({{"task", "facts"},
                               {"people", options.people},
                               {"bits_per_person", bits},
                               {"bits_total", bits * static_cast<double>(options.people)},
                               {"documents", static_cast<i64>(task.documents.size())},
                               {"bytes", bytes}});
  return task;
}

}  // namespace moebius::data
