// Names, values and forms of the facts task.
#include "data/facts_words.h"

#include <fmt/format.h>

#include "data/generated_tasks.h"

namespace moebius::data {

// Common first names: many people share one, and only the full name tells them apart.
const std::vector<std::string>& facts_first_names() {
  static const std::vector<std::string> names = {
      "Ada",   "Amy",   "Anna", "Beth", "Carla", "Clara", "Dana",  "Dora", "Ella",  "Emma", "Eva",   "Faye",  "Gina",
      "Hanna", "Iris",  "Ivy",  "Jane", "Julia", "Kate",  "Laura", "Lena", "Lucy",  "Mara", "Nina",  "Nora",  "Olga",
      "Paula", "Rita",  "Ruth", "Sara", "Tina",  "Vera",  "Adam",  "Alan", "Ben",   "Carl", "Dan",   "David", "Earl",
      "Eric",  "Frank", "Fred", "Gary", "Glen",  "Hans",  "Hugo",  "Ian",  "Ivan",  "Jack", "James", "Karl",  "Kurt",
      "Leo",   "Luke",  "Mark", "Max",  "Neil",  "Noah",  "Oscar", "Paul", "Ralph", "Sam",  "Theo",  "Tom"};
  return names;
}

// Words that are not used as middle names, so that no full name is that of a real person.
const std::vector<std::string>& facts_middle_names() {
  static const std::vector<std::string> names = {
      "Acorn",   "Amber",   "Anvil",  "Apple",  "Arrow",  "Badge",   "Barley", "Basil",  "Birch",  "Bramble", "Brick",
      "Button",  "Cabin",   "Candle", "Cedar",  "Chalk",  "Clover",  "Cobalt", "Copper", "Coral",  "Cotton",  "Cricket",
      "Ember",   "Fern",    "Flint",  "Garnet", "Ginger", "Granite", "Hazel",  "Heron",  "Indigo", "Ivory",   "Juniper",
      "Kettle",  "Lantern", "Lemon",  "Linen",  "Maple",  "Marble",  "Meadow", "Mint",   "Nettle", "Nutmeg",  "Olive",
      "Onyx",    "Orchid",  "Otter",  "Pebble", "Pepper", "Pigeon",  "Plum",   "Quartz", "Raven",  "Saffron", "Silver",
      "Sparrow", "Thistle", "Timber", "Topaz",  "Tulip",  "Velvet",  "Walnut", "Willow", "Wren"};
  return names;
}

const std::vector<std::string>& facts_last_names() {
  static const std::vector<std::string> names = {
      "Abbot",  "Alder",   "Arden",   "Baker", "Barlow",  "Barton", "Becker", "Bell",   "Benson", "Black",  "Blake",
      "Booth",  "Bowen",   "Brady",   "Brand", "Briggs",  "Brook",  "Brown",  "Burton", "Butler", "Byrd",   "Carey",
      "Carter", "Chase",   "Clark",   "Cole",  "Conway",  "Cooper", "Cox",    "Crane",  "Cross",  "Dale",   "Dalton",
      "Darby",  "Dean",    "Dixon",   "Doyle", "Drake",   "Duncan", "Eaton",  "Ellis",  "Falk",   "Farmer", "Field",
      "Fisher", "Fleming", "Foster",  "Fox",   "Freeman", "Frost",  "Gale",   "Garner", "Gibbs",  "Gordon", "Grant",
      "Gray",   "Greene",  "Griffin", "Hale",  "Hall",    "Hardy",  "Harper", "Hart",   "Hayes",  "Henson", "Hill",
      "Holt",   "Hood",    "Horn",    "Howe",  "Hunter",  "Hyde",   "Irwin",  "Jarvis", "Jensen", "Jordan", "Judd",
      "Kane",   "Keller",  "Kemp",    "Kent",  "King",    "Kirby",  "Knox",   "Lamb",   "Lane",   "Larson", "Law",
      "Lee",    "Lewis",   "Lloyd",   "Long",  "Lowe",    "Lynch",  "Marsh",  "Martin", "Mason",  "Mercer", "Miller",
      "Moody",  "Moore",   "Morgan",  "Moss",  "Nash",    "Noble",  "Norris", "North",  "Oakley", "Owens",  "Page",
      "Palmer", "Parker",  "Peck",    "Perry", "Pope",    "Porter", "Potter", "Price",  "Quinn",  "Reed",   "Rice",
      "Rowe",   "Sharp",   "Shaw",    "Snow",  "Stone",   "Swift",  "Ward"};
  return names;
}

namespace {

std::vector<std::string> years() {
  std::vector<std::string> all;
  for (int year = 1900; year < 2000; ++year) all.push_back(fmt::format("{}", year));
  return all;
}

FactsAttribute major() {
  return {"major",
          {"art",    "biology",  "botany",   "chemistry", "cooking",   "dance",      "design",   "drama",
           "ethics", "farming",  "fashion",  "film",      "finance",   "forestry",   "geology",  "history",
           "law",    "logic",    "mining",   "music",     "nursing",   "optics",     "painting", "physics",
           "poetry", "politics", "robotics", "sailing",   "sculpture", "statistics", "surgery",  "zoology"},
          {"studied @", "majored in @", "took @", "learned @", "degree in @", "field of @"},
          {"# studied @", "# majored in @", "# took a degree in @", "# spent the student years on @",
           "The subject that # chose was @", "# was trained in @", "At college # worked on @"},
          "What did # study?"};
}

FactsAttribute city() {
  return {
      "city",
      {"Athens",  "Berlin", "Boston", "Cairo", "Chicago", "Dallas", "Delhi",   "Denver", "Dublin", "Geneva", "Havana",
       "Houston", "Kiev",   "Leeds",  "Lima",  "Lisbon",  "London", "Lyon",    "Madrid", "Miami",  "Milan",  "Moscow",
       "Munich",  "Naples", "Oslo",   "Paris", "Prague",  "Rome",   "Seattle", "Tokyo",  "Venice", "Vienna"},
      {"born in @", "home @", "raised in @", "native of @", "child of @", "came from @"},
      {"# was born in @", "# came from @", "The birthplace of # is @", "# first saw the light in @",
       "# is a native of @", "# grew up in @", "The home town of # is @"},
      "Where was # born?"};
}

FactsAttribute employer() {
  return {
      "employer",
      {"Apex",   "Atlas",  "Aurora", "Beacon",  "Bolt",    "Canyon",  "Cobra",   "Comet",  "Delta", "Eagle",  "Echo",
       "Falcon", "Galaxy", "Harbor", "Helix",   "Horizon", "Jaguar",  "Jupiter", "Laser",  "Lotus", "Magnet", "Mercury",
       "Nova",   "Orbit",  "Panda",  "Phoenix", "Pilot",   "Quantum", "Rocket",  "Saturn", "Titan", "Zenith"},
      {"works at @", "employed by @", "job at @", "hired by @", "staff of @", "paid by @"},
      {"# works for @", "# is employed by @", "# has a job at @", "The employer of # is @", "# was hired by @",
       "# earns a living at @", "# joined the staff of @"},
      "Who employs #?"};
}

FactsAttribute university() {
  return {
      "university",
      {"Abbey",  "Bishop", "Bridge",  "Castle", "Chapel", "Cliff",  "College", "Corner", "Crown",  "Forest", "Garden",
       "Gate",   "Glade",  "Grove",   "Haven",  "Island", "Lake",   "Market",  "Mill",   "Mount",  "Ocean",  "Orchard",
       "Palace", "Park",   "Prairie", "River",  "Spring", "Summit", "Temple",  "Tower",  "Valley", "Village"},
      {"school @", "attended @", "graduate of @", "went to @", "alumni of @", "enrolled at @"},
      {"# graduated from @", "# attended @", "# was a student at @", "The university of # is @",
       "# holds a diploma of @", "# was enrolled at @", "# spent four years at @"},
      "Which university did # attend?"};
}

FactsAttribute year() {
  return {"year",
          years(),
          {"birth year @", "start @", "dated @", "since @", "arrived @", "life from @"},
          {"# was born in the year @", "The birth year of # is @", "# came into the world in @", "# has lived since @",
           "The life of # began in @", "Records of # begin in @", "The family welcomed # in @"},
          "When was # born?"};
}

}  // namespace

const std::vector<FactsAttribute>& facts_attributes() {
  static const std::vector<FactsAttribute> all = {major(), city(), employer(), university(), year()};
  return all;
}

const std::vector<std::string>& facts_work_sentences() {
  static const std::vector<std::string> all = {"# has an office in @",       "# goes to work in @",
                                               "The work of # is done in @", "# is based in @",
                                               "# earns money in @",         "The desk of # stands in @"};
  return all;
}

i64 facts_work_city(i64 employer, i64 cities) { return (employer * 7 + 3) % cities; }

}  // namespace moebius::data
