// Drives the real log of Apache Mesos 1.11.0: the functions of libmesos that the Python package carries. Its headers are not
// at hand, so the few types are declared here, by names and sizes only. Built and used by tests/it/replicated_log.rs.
//
//   real-log storage PATH                        its files: "read FROM TO", "action HEX", "metadata HEX" on standard input
//   real-log group PATH QUORUM auto|manual SERVERS ZNODE     as replica, among those that ZooKeeper has there
//   real-log replica PATH QUORUM auto|manual PID...   a replica among others (LIBPROCESS_IP, LIBPROCESS_PORT): "start",
//                                                "append TEXT", "truncate TO", "ends", "catchup", "read FROM TO"
#include <unistd.h>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <list>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <string>

template <typename T> struct Option {
  int state = 1;  // 0: some, 1: none
  alignas(T) char t[sizeof(T)] = {};
  Option() {}
  Option(const Option&) {}
  ~Option() {}
};
struct Duration { int64_t nanos; };
namespace zookeeper { struct Authentication { char room[128]; }; }

namespace google { namespace protobuf {
struct MessageLite { bool ParseFromString(const std::string&); };
struct Message { std::string DebugString() const; };
} }

namespace process {
struct UPID {
  char room[256];
  UPID(const char*);
  operator std::string() const;
  bool operator<(const UPID&) const;
};
template <typename T> struct Future {
  std::shared_ptr<char> data;
  bool await(const Duration&) const;
  const std::string& failure() const;
  const T& get() const;
};
}

namespace mesos { namespace internal { namespace log {
struct Action { char room[1024]; Action(); };
struct Metadata { char room[256]; Metadata(); };
// What a Try<T> of any T needs, and more. Its destructor makes it one that is returned in memory.
struct Blob { char room[8192]; ~Blob() {} };
struct LevelDBStorage {
  char room[512];
  LevelDBStorage();
  Blob restore(const std::string&);
  Blob persist(const Action&);
  Blob persist(const Metadata&);
  Blob read(uint64_t);
};
} } }

namespace mesos { namespace log {
struct Log {
  struct Position { uint64_t value; };
  struct Entry { Position position; std::string data; };
  struct Reader {
    void* process;
    explicit Reader(Log*);
    process::Future<std::list<Entry>> read(const Position&, const Position&);
    process::Future<Position> beginning();
    process::Future<Position> ending();
    process::Future<Position> catchup();
  };
  struct Writer {
    void* process;
    explicit Writer(Log*);
    process::Future<Option<Position>> start();
    process::Future<Option<Position>> append(const std::string&);
    process::Future<Option<Position>> truncate(const Position&);
  };
  void* process;
  Log(int, const std::string&, const std::set<process::UPID>&, bool, const Option<std::string>&);
  Log(int, const std::string&, const std::string&, const Duration&, const std::string&,
      const Option<zookeeper::Authentication>&, bool, const Option<std::string>&);
};
} }

using namespace mesos::internal::log;
using mesos::log::Log;

static std::string unhex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) out.push_back((char)std::stoi(hex.substr(i, 2), nullptr, 16));
  return out;
}

static int failed(const char* blob) {
  return *(const int*)blob != 0;
}

static void error_of(const char* blob, size_t size) {
  // The message is somewhere behind: it is looked for as a std::string whose pointer and length agree.
  for (size_t at = 0; at + 32 <= size; at += 8) {
    const char* p = *(char* const*)(blob + at);
    size_t n = *(const size_t*)(blob + at + 8);
    if (n > 3 && n < 4096 && (p == blob + at + 16 || (n > 15 && (uintptr_t)p > 0x10000 && ((uintptr_t)p >> 47) == 0)))
      if (strnlen(p, n + 1) == n) { printf("error: %s\n", p); return; }
  }
  printf("error\n");
}

static int storage(int argc, char** argv) {
  auto* storage = new LevelDBStorage();
  static Blob state = storage->restore(argv[2]);
  if (failed(state.room)) { error_of(state.room, 2048); return 1; }
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string word; words >> word;
    if (word == "read") {
      uint64_t from, to; words >> from >> to;
      for (uint64_t position = from; position <= to; position++) {
        Blob* action = new Blob(storage->read(position));
        if (failed(action->room)) { printf("%llu: none\n", (unsigned long long)position); continue; }
        const auto* message = (const google::protobuf::Message*)(action->room + 8);
        printf("%llu:\n%s", (unsigned long long)position, message->DebugString().c_str());
      }
    } else if (word == "action" || word == "metadata") {
      std::string hex; words >> hex;
      Blob* outcome;
      if (word == "action") {
        auto* action = new Action();
        ((google::protobuf::MessageLite*)action)->ParseFromString(unhex(hex));
        outcome = new Blob(storage->persist(*action));
      } else {
        auto* metadata = new Metadata();
        ((google::protobuf::MessageLite*)metadata)->ParseFromString(unhex(hex));
        outcome = new Blob(storage->persist(*metadata));
      }
      printf(failed(outcome->room) ? "failed\n" : "done\n");
    }
    fflush(stdout);
  }
  return 0;
}

template <typename T> static const T* wait(process::Future<T> future) {
  auto* kept = new process::Future<T>(future);
  if (!kept->await(Duration{60000000000LL})) { printf("timed out\n"); fflush(stdout); return nullptr; }
  int state = *(const int*)(kept->data.get() + 4);
  if (state == 1) return &kept->get();
  if (state == 2) { printf("failed "); error_of(kept->data.get(), 160); } else printf("state %d\n", state);
  fflush(stdout);
  return nullptr;
}

static void say(const Option<Log::Position>* position) {
  if (!position) return;
  if (position->state != 0) printf("none\n");
  else printf("%llu\n", (unsigned long long)*(const uint64_t*)position->t);
}

static Log* group(char** argv) {
  Option<std::string> none;
  Option<zookeeper::Authentication> nobody;
  return new Log(atoi(argv[3]), argv[2], argv[5], Duration{10000000000LL}, argv[6], nobody,
                 std::string(argv[4]) == "auto", none);
}

static Log* among(int argc, char** argv) {
  std::set<process::UPID> pids;
  for (int i = 5; i < argc; i++) pids.emplace(argv[i]);
  Option<std::string> none;
  return new Log(atoi(argv[3]), argv[2], pids, std::string(argv[4]) == "auto", none);
}

static int replica(Log* log) {
  auto* writer = new Log::Writer(log);
  auto* reader = new Log::Reader(log);
  printf("started\n"); fflush(stdout);
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string word; words >> word;
    if (word == "start") say(wait(writer->start()));
    else if (word == "append") { std::string text; words >> text; say(wait(writer->append(text))); }
    else if (word == "truncate") { uint64_t to; words >> to; say(wait(writer->truncate(Log::Position{to}))); }
    else if (word == "ends") {
      auto* b = wait(reader->beginning()); auto* e = wait(reader->ending());
      if (b && e) printf("%llu %llu\n", (unsigned long long)b->value, (unsigned long long)e->value);
    } else if (word == "catchup") { auto* e = wait(reader->catchup()); if (e) printf("%llu\n", (unsigned long long)e->value); }
    else if (word == "read") {
      uint64_t from, to; words >> from >> to;
      auto* entries = wait(reader->read(Log::Position{from}, Log::Position{to}));
      if (entries) {
        for (auto& entry : *entries) printf("%llu=%s ", (unsigned long long)entry.position.value, entry.data.c_str());
        printf("end\n");
      }
    }
    fflush(stdout);
  }
  _exit(0);
}

int main(int argc, char** argv) {
  if (argc >= 3 && !strcmp(argv[1], "storage")) { int code = storage(argc, argv); fflush(stdout); _exit(code); }
  if (argc >= 5 && !strcmp(argv[1], "replica")) return replica(among(argc, argv));
  if (argc == 7 && !strcmp(argv[1], "group")) return replica(group(argv));
  fprintf(stderr, "real-log storage PATH | real-log replica PATH QUORUM auto|manual PID... | real-log group PATH QUORUM auto|manual SERVERS ZNODE\n");
  return 2;
}
