#include "loops.h"

#include <map>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <vector>

namespace ganzoo {

using std::map;
using std::set;
using std::string;
using std::vector;

// Up to this many iterations, waking the other threads takes longer than it saves.
static const char* const PARALLEL_THRESHOLD = "131072";

static const std::regex FOR(R"(^\s*for \(\w+ (id\d+|_) ?= ?0; ?\w+ ?< ?(\w+); ?\w+\+\+\) \{$)");
static const std::regex DEFINITION(R"(^\s*[\w:]+ (\w+) = (.*);$)");
static const std::regex PRODUCT(R"(^\w+( \* \w+)*$)");
static const std::regex WORD(R"(\w+)");
static const std::regex WRITE(R"(^\s*(\w+p)\[(\w+)\] = (.*);$)");
static const std::regex ACCESS(R"((\w+p)\[(\w+)\])");
static const std::regex TERM(R"(^(id\d+)( \* \w+)+$)");
static const std::regex ZERO(R"(^0( \* \w+)*$)");

// Reads an element; a bool is read as a byte, so that the compiler can vectorise.
static const char* const READ = R"(
template <class T> static inline T ganzoo_read(const T* from) { return *from; }
static inline unsigned char ganzoo_read(const bool* from) { return *(const unsigned char*)from; }
)";

// A line of the kernel, or a loop and the lines in it.
struct Line {
    string text;
    bool loop = false;
    string index, bound;  // of a loop
    vector<Line> inside;
};

// Parses the lines from `at` to the closing brace of the block. Returns false if the brace is missing, or if a block in
// it is not a loop of the form FOR.
static bool parse(const vector<string>& lines, size_t& at, vector<Line>& found) {
    for (; at < lines.size(); at++) {
        std::smatch match;
        const string& text = lines[at];
        auto first = text.find_first_not_of(" \t");
        if (first == string::npos) continue;
        if (text[first] == '}') return true;
        Line line;
        line.text = text;
        if (std::regex_match(text, match, FOR)) {
            line.loop = true;
            line.index = match[1];
            line.bound = match[2];
            if (!parse(lines, ++at, line.inside)) return false;
        } else if (text.back() == '{') {
            return false;  // a block that is not a loop of the form FOR
        }
        found.push_back(line);
    }
    return false;
}

// Returns the terms of a sum, without zeros: "0  + id0 * a + 0 * b" has the term "id0 * a".
static vector<string> terms_of(const string& sum) {
    vector<string> found;
    std::istringstream terms(sum);
    for (string term; std::getline(terms, term, '+');) {
        auto first = term.find_first_not_of(' '), last = term.find_last_not_of(' ');
        if (first == string::npos) continue;
        term = term.substr(first, last - first + 1);
        if (!std::regex_match(term, ZERO)) found.push_back(term);
    }
    return found;
}

// Finds the loop indices in an array offset that is a sum of indices times strides. Returns false for other offsets.
static bool indices_of(const string& offset, set<string>& found) {
    for (const string& term : terms_of(offset)) {
        std::smatch match;
        if (!std::regex_match(term, match, TERM) || !found.insert(match[1]).second) return false;
    }
    return true;
}

typedef map<string, string> Names;  // a name and its replacement

static string replaced(const string& text, const Names& names) {
    string found;
    auto at = text.cbegin();
    for (auto it = std::sregex_iterator(text.begin(), text.end(), WORD); it != std::sregex_iterator(); ++it) {
        found.append(at, (*it)[0].first);
        auto name = names.find(it->str());
        found += name == names.end() ? it->str() : name->second;
        at = (*it)[0].second;
    }
    return found.append(at, text.cend());
}

// Returns an offset in a form that is equal for equal offsets. Jittor writes the offset of an array as "+ id0 * a" where
// one operation writes it, and as "0  + id0 * a" where another operation reads it.
static string canonical(const string& offset, const Names& strides) {
    string found;
    for (const string& term : terms_of(replaced(offset, strides))) found += " + " + term;
    return found;
}

// Returns the strides that are defined before the loops, expanded into products: arrays of the same shape have strides
// of different names but equal products.
static Names strides_in(const vector<Line>& lines) {
    Names found;
    std::smatch match;
    for (const Line& line : lines) {
        if (line.loop || !std::regex_match(line.text, match, DEFINITION)) continue;
        string name = match[1], value = match[2];
        if (name.find("stride") == string::npos || !std::regex_match(value, PRODUCT)) continue;
        value = replaced(value, found);
        found[name] = value.compare(0, 4, "1 * ") == 0 ? value.substr(4) : value;
    }
    return found;
}

// The array accesses of a loop nest.
struct Accesses {
    map<string, string> written;       // offset, by array
    set<string> pointers;              // of all arrays
    bool understood = true;

    Accesses(const Line& loop, const Names& strides) : strides(strides) { see(loop, {}); check(loop, {}); }

   private:
    const Names& strides;

    void see(const Line& loop, Names names) {
        for (const Line& line : loop.inside) {
            if (line.loop) {
                see(line, names);
                continue;
            }
            std::smatch match;
            if (std::regex_match(line.text, match, WRITE)) {
                auto offset = names.find(match[2]);
                if (offset == names.end() || !written.emplace(match[1], offset->second).second) {
                    // An array may be written twice, as in sums, but only at the same offset.
                    if (offset == names.end() || written[match[1]] != offset->second) understood = false;
                }
            } else if (std::regex_match(line.text, match, DEFINITION)) {
                names[match[1]] = canonical(match[2], strides);
            } else {
                understood = false;
            }
        }
    }

    // Checks that an array that is written is accessed only at the offset of the write.
    void check(const Line& loop, Names names) {
        for (const Line& line : loop.inside) {
            if (line.loop) {
                check(line, names);
                continue;
            }
            std::smatch match;
            for (auto it = std::sregex_iterator(line.text.begin(), line.text.end(), ACCESS);
                 it != std::sregex_iterator(); ++it) {
                pointers.insert((*it)[1]);
                auto array = written.find((*it)[1]);
                auto offset = names.find((*it)[2]);
                if (array != written.end() && (offset == names.end() || offset->second != array->second))
                    understood = false;
            }
            if (std::regex_match(line.text, match, DEFINITION)) names[match[1]] = canonical(match[2], strides);
        }
    }
};

// Whether the iterations of a loop write to different elements.
static bool is_parallel(const Accesses& accesses, const string& index) {
    for (auto& array : accesses.written) {
        set<string> indices;
        if (!indices_of(array.second, indices) || !indices.count(index)) return false;
    }
    return !accesses.written.empty();
}

static void bounds_of(const Line& loop, string& product) {
    product += (product.empty() ? "(int64_t)" : " * ") + loop.bound;
    for (const Line& line : loop.inside)
        if (line.loop) {
            bounds_of(line, product);
            return;
        }
}

// Swaps a summing loop and the loop inside it, so that the threads are woken only once. The same numbers are
// still added to each sum in the same order. The innermost loop stays in its place, because it runs along contiguous
// memory.
static bool exchange(Line& loop, const Accesses& accesses) {
    if (loop.inside.size() != 1 || !loop.inside[0].loop) return false;
    Line& inner = loop.inside[0];
    if (inner.inside.size() != 1 || !inner.inside[0].loop || !is_parallel(accesses, inner.index)) return false;
    std::swap(loop.text, inner.text);
    std::swap(loop.index, inner.index);
    std::swap(loop.bound, inner.bound);
    return true;
}

// Returns the text with reads replaced by the variables in `kept`, whose keys are array and offset. An unconditional
// read without a variable gets one, defined before the line. A read after a condition does not: it may be out of bounds
// if the condition is false.
static string reading_once(const string& text, const Names& offsets, Names& kept, vector<Line>& before) {
    const auto certain = text.find_first_of("?&|");
    string found;
    auto at = text.cbegin();
    for (auto it = std::sregex_iterator(text.begin(), text.end(), ACCESS); it != std::sregex_iterator(); ++it) {
        const string array = (*it)[1], position = (*it)[2];
        auto offset = offsets.find(position);
        string& known = kept[array + " " + (offset == offsets.end() ? position : offset->second)];
        if (known.empty() && (size_t)it->position() < certain) {
            known = array + "_" + position + "_read";
            before.push_back({"const auto " + known + " = ganzoo_read(" + array + " + " + position + ");"});
        }
        found.append(at, (*it)[0].first);
        found += known.empty() ? it->str() : known;
        at = (*it)[0].second;
    }
    return found.append(at, text.cend());
}

// Stores written and read values in variables instead of reading them again: the compiler does not see that the address
// is the same, and would not vectorise the loop. (`Accesses` has checked that nothing else writes there.)
static void keep_in_registers(Line& loop, const Names& strides, Names offsets) {
    Names kept;  // by array and offset
    vector<Line> lines;
    for (Line& line : loop.inside) {
        std::smatch match;
        if (line.loop) {
            keep_in_registers(line, strides, offsets);
            lines.push_back(line);
            continue;
        }
        if (std::regex_match(line.text, match, DEFINITION)) offsets[match[1]] = canonical(match[2], strides);
        if (!std::regex_match(line.text, match, WRITE)) {
            string found = reading_once(line.text, offsets, kept, lines);
            lines.push_back({found});
            continue;
        }
        const string array = match[1], position = match[2], value = match[3];
        if (value.find(array + "[") != string::npos) {  // a sum
            lines.push_back(line);
            continue;
        }
        const string found = reading_once(value, offsets, kept, lines), name = array + "_written";
        lines.push_back({"std::remove_reference<decltype(" + array + "[0])>::type " + name + " = " + found + ";"});
        lines.push_back({array + "[" + position + "] = " + name + ";"});
        kept[array + " " + offsets[position]] = name;
    }
    loop.inside = lines;
}

static int mentions(const Line& loop, const string& array) {
    int found = 0;
    for (const Line& line : loop.inside)
        found += line.loop ? mentions(line, array) : line.text.find(array) != string::npos;
    return found;
}

// Sums up in a register, or in several that the compiler adds up at the end, instead of in memory. `Accesses` has
// checked what this requires. Appends the loop, with the lines now needed around it, to `found`.
static void sum_in_registers(Line loop, vector<Line>& found) {
    vector<Line> before, inside, after;
    Names definitions;  // the whole line, by the offset that it defines
    for (Line& line : loop.inside) {
        if (line.loop) {
            sum_in_registers(line, inside);
            continue;
        }
        std::smatch match;
        if (std::regex_match(line.text, match, DEFINITION)) definitions[match[1]] = line.text;
        string array, value, place;
        if (std::regex_match(line.text, match, WRITE)) {
            array = match[1];
            value = match[3];
            place = array + "[" + string(match[2]) + "]";
        }
        auto at = value.find(place);
        auto definition = place.empty() ? definitions.end() : definitions.find(match[2]);
        if (definition == definitions.end() || at == string::npos || mentions(loop, array) > 1 ||
            definition->second.find(loop.index + " ") != string::npos) {
            inside.push_back(line);
            continue;
        }
        string sum = array + "_sum";
        before.push_back({definition->second});
        before.push_back({"std::remove_reference<decltype(" + array + "[0])>::type " + sum + " = " + place + ";"});
        inside.push_back({sum + " = " + value.replace(at, place.size(), sum) + ";"});
        after.push_back({place + " = " + sum + ";"});
    }
    loop.inside = inside;
    if (before.empty()) {
        found.push_back(loop);
        return;
    }
    found.push_back({"{"});
    found.insert(found.end(), before.begin(), before.end());
    found.push_back(loop);
    found.insert(found.end(), after.begin(), after.end());
    found.push_back({"}"});
}

static void parallelise_loop(Line& loop, const Names& strides) {
    Accesses accesses(loop, strides);
    if (!accesses.understood) return;
    if (!is_parallel(accesses, loop.index) && !exchange(loop, accesses)) {
        for (Line& line : loop.inside)
            if (line.loop) parallelise_loop(line, strides);
        return;
    }
    string work, pointers;
    bounds_of(loop, work);
    for (auto& pointer : accesses.pointers) pointers += (pointers.empty() ? "" : ", ") + pointer;
    // Collapse two loops into one if there is a third to vectorise.
    bool both = loop.inside.size() == 1 && loop.inside[0].loop && is_parallel(accesses, loop.inside[0].index) &&
                loop.inside[0].inside.size() == 1 && loop.inside[0].inside[0].loop;
    // Each thread has its own copies of the pointers, because the compiler ignores __restrict__ on shared ones.
    loop.text = "#pragma omp parallel for if(" + work + " > " + PARALLEL_THRESHOLD +
                ") firstprivate(" + pointers + ")" +
                (both ? " collapse(2)" : "") + "\n" + loop.text;
}

static vector<Line> optimise(const vector<Line>& body) {
    const Names strides = strides_in(body);
    vector<Line> found;
    for (Line line : body) {
        if (!line.loop || !Accesses(line, strides).understood) {
            found.push_back(line);
            continue;
        }
        parallelise_loop(line, strides);
        keep_in_registers(line, strides, {});
        sum_in_registers(line, found);
    }
    return found;
}

static void write(const vector<Line>& lines, std::ostringstream& out) {
    for (const Line& line : lines) {
        out << line.text << "\n";
        if (!line.loop) continue;
        write(line.inside, out);
        out << "}\n";
    }
}

string parallelise(const string& source) {
    static const string BEGIN = "void jittor::FusedOp::jit_run() {\n";
    auto begin = source.find(BEGIN);
    if (begin == string::npos) return source;
    begin += BEGIN.size();
    vector<string> lines;
    std::istringstream rest(source.substr(begin));
    for (string line; std::getline(rest, line);)
        if (line.find("//@") == string::npos) lines.push_back(line);
    size_t at = 0;
    vector<Line> body;
    if (!parse(lines, at, body)) return source;
    std::ostringstream out;
    out << source.substr(0, begin - BEGIN.size()) << READ << BEGIN;
    write(optimise(body), out);
    for (; at < lines.size(); at++) out << lines[at] << "\n";
    return out.str();
}

}  // namespace ganzoo
