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

// Iterations below which waking the other threads takes longer than they save.
static const char* const FEWEST = "32768";

static const std::regex FOR(R"(^\s*for \(\w+ (id\d+) ?= ?0; ?id\d+ ?< ?(\w+); ?id\d+\+\+\) \{$)");
static const std::regex DEFINITION(R"(^\s*[\w:]+ (\w+) = (.*);$)");
static const std::regex WRITE(R"(^\s*(\w+p)\[(\w+)\] = (.*);$)");
static const std::regex ACCESS(R"((\w+p)\[(\w+)\])");
static const std::regex TERM(R"(^(id\d+|0) \* \w+$)");

// A line of the kernel, or a loop with the lines in it.
struct Line {
    string text;
    bool loop = false;
    string index, bound;  // of a loop
    vector<Line> inside;
};

// The lines from `at` up to the brace that closes the block. False if there is none.
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
            return false;  // a block that is no such loop
        }
        found.push_back(line);
    }
    return false;
}

// The loops' indices of which an offset into an array is made, each times a stride; false if it is made otherwise.
static bool indices_of(const string& offset, set<string>& found) {
    std::istringstream terms(offset);
    for (string term; std::getline(terms, term, '+');) {
        auto first = term.find_first_not_of(' '), last = term.find_last_not_of(' ');
        if (first == string::npos) continue;
        term = term.substr(first, last - first + 1);
        std::smatch match;
        if (term == "0") continue;
        if (!std::regex_match(term, match, TERM)) return false;
        if (match[1] != "0" && !found.insert(match[1]).second) return false;
    }
    return true;
}

// What the loop nest does to arrays in memory.
struct Accesses {
    map<string, string> written;       // array, offset
    set<string> pointers;              // of all arrays
    bool understood = true;

    explicit Accesses(const Line& loop) { see(loop, {}); check(loop, {}); }

   private:
    typedef map<string, string> Names;  // of offsets

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
                    // Written twice, as sums are: at the same place each time.
                    if (offset == names.end() || written[match[1]] != offset->second) understood = false;
                }
            } else if (std::regex_match(line.text, match, DEFINITION)) {
                names[match[1]] = match[2];
            } else {
                understood = false;
            }
        }
    }

    // Whether what is written is read nowhere else.
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
            if (std::regex_match(line.text, match, DEFINITION)) names[match[1]] = match[2];
        }
    }
};

// Whether iterations of the loop write to different places.
static bool is_free(const Accesses& accesses, const string& index) {
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

static void divide(Line& loop) {
    Accesses accesses(loop);
    if (!accesses.understood) return;
    if (!is_free(accesses, loop.index)) {
        for (Line& line : loop.inside)
            if (line.loop) divide(line);
        return;
    }
    string work, pointers;
    bounds_of(loop, work);
    for (auto& pointer : accesses.pointers) pointers += (pointers.empty() ? "" : ", ") + pointer;
    // Two loops as one, if there is a third for the processor's vectors.
    bool both = loop.inside.size() == 1 && loop.inside[0].loop && is_free(accesses, loop.inside[0].index) &&
                loop.inside[0].inside.size() == 1 && loop.inside[0].inside[0].loop;
    // Pointers of its own, or each thread would forget that they are __restrict__.
    loop.text = "#pragma omp parallel for if(" + work + " > " + FEWEST + ") firstprivate(" + pointers + ")" +
                (both ? " collapse(2)" : "") + "\n" + loop.text;
}

static void write(const vector<Line>& lines, std::ostringstream& out) {
    for (const Line& line : lines) {
        out << line.text << "\n";
        if (!line.loop) continue;
        write(line.inside, out);
        out << "}\n";
    }
}

string divided_among_threads(const string& source) {
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
    for (Line& line : body)
        if (line.loop) divide(line);
    std::ostringstream out;
    out << source.substr(0, begin);
    write(body, out);
    for (; at < lines.size(); at++) out << lines[at] << "\n";
    return out.str();
}

}  // namespace ganzoo
