// The command report, and the means of inspect: runs whose results are known.
#include <algorithm>

#include "program.hpp"

using namespace tern_test;

namespace {

/// Writes the files of a run of two methods.
void write_run(const fs::path& run, int seed, double first, double second,
               const std::string& rate = "0.001") {
  const std::string s = std::to_string(seed);
  write_text(run / "config.json", R"({"title": "A <b> & B", "data": {"task": "sst2", "seed": )" +
                                      s + R"(}, "stages": [{"name": "base", "seed": )" + s +
                                      R"(, "learning_rate": )" + rate + "}]}");
  write_text(run / "table.json", R"([{"method": "FP-SFT", "accuracy": )" + std::to_string(first) +
                                     R"(, "megabytes": 10.5, "tokens_per_second": 100},
                 {"method": "BitNet-SFT", "accuracy": )" +
                                     std::to_string(second) +
                                     R"(, "megabytes": 1.5, "tokens_per_second": 200}])");
  write_text(run / "metrics.jsonl",
             R"({"stage": "base", "step": 1, "loss": 4.5, "cross_entropy": 4.5, "flips": 0.01}
{"stage": "base", "step": 50, "loss": null, "cross_entropy": 2.5, "flips": 0}
{"stage": "base", "step": 100, "steps": 200, "loss": 1.5, "cross_entropy": 1.5, "learning_rate": 0.001, "seconds": 2, "tokens": 100, "flips": 0.001}
{"stage": "ba)");
}

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++n;
  return n;
}

bool has(const std::string& text, const std::string& what) { return count(text, what) > 0; }

}  // namespace

TEST_CASE("a report has means over seeds, paired differences, pictures and settings") {
  const scratch_dir scratch;
  const fs::path at = scratch.path();
  write_run(at / "1", 1, 97, 90);
  write_run(at / "2", 2, 95, 88.5);
  write_run(at / "3", 3, 96, 89.5);
  const auto made =
      run_bitdistill({"report", (at / "1").string(), (at / "2").string(), (at / "3").string(),
                      "--out", (at / "r.html").string(), "--pictures", (at / "p").string()});
  REQUIRE(made.code == 0);
  const std::string page = bytes_of(at / "r.html");
  CHECK(has(page, "96.00 ± 0.58"));
  CHECK(has(page, "-6.67 ± 0.17</td>"));
  CHECK(has(page, "<h1>A &lt;b&gt; &amp; B</h1>"));
  CHECK_FALSE(has(page, "not distinguishable</td>"));
  CHECK(has(page, "base.learning_rate"));
  CHECK_FALSE(has(page, "These settings differ"));
  CHECK(has(page, "seed 3"));
  // The file needs nothing else: no address but the name of SVG.
  CHECK(count(page, "http") == count(page, "http://www.w3.org/2000/svg"));
  for (const char* name :
       {"accuracy", "size", "speed", "base-cross_entropy", "base-loss", "base-flips"}) {
    CAPTURE(name);
    const std::string picture = bytes_of(at / "p" / (std::string(name) + ".svg"));
    CHECK(picture.starts_with("<svg "));
    CHECK(has(picture, "<style>"));
    CHECK_FALSE(has(picture, "nan"));
  }
  CHECK(count(bytes_of(at / "p" / "base-cross_entropy.svg"), "<polyline") == 3);
}

TEST_CASE("a report shows which layers were chosen, and passes over a broken line") {
  const scratch_dir scratch;
  const fs::path at = scratch.path();
  write_run(at / "1", 1, 97, 90);
  const std::string lines =
      R"({"stage": "base", "layers": {"relations": {"chosen": 1, "agreement": [0.1, 0.25], "error": [0.01, 0.02]}}}
)";
  write_text(at / "1" / "metrics.jsonl", lines + bytes_of(at / "1" / "metrics.jsonl"));
  const words command{"report", (at / "1").string(), "--out", (at / "r.html").string()};
  REQUIRE(run_bitdistill(command).code == 0);
  const std::string page = bytes_of(at / "r.html");
  CHECK(has(page, "<h2>Chosen layers</h2>"));
  CHECK(has(page, "<td>base, seed 1</td><td>relations</td><td>1</td>"));
  CHECK(has(page, "0.100 ± 0.010, 0.250 ± 0.020"));
  write_text(at / "1" / "metrics.jsonl", R"({"stage": "base", "layers": {"relations": 1}})");
  REQUIRE(run_bitdistill(command).code == 0);
  CHECK_FALSE(has(bytes_of(at / "r.html"), "Chosen layers"));
}

TEST_CASE("a report of runs with other settings shows which") {
  const scratch_dir scratch;
  const fs::path at = scratch.path();
  write_run(at / "a1", 1, 97, 90);
  write_run(at / "a2", 2, 95, 96);
  write_run(at / "b1", 1, 97, 91, "0.002");
  REQUIRE(run_bitdistill({"report", (at / "a1").string(), (at / "a2").string(),
                          (at / "b1").string(), "--out", (at / "r.html").string()})
              .code == 0);
  const std::string page = bytes_of(at / "r.html");
  CHECK(has(page, "These settings differ"));
  CHECK(count(page, "<tr class=\"differs\">") == 1);
  CHECK(has(page, "BitNet-SFT (B)"));
  CHECK(has(page, "-3.00 ± 4.00, not distinguishable</td>"));
}

TEST_CASE("pictures have room for the names of many runs, and marks that tell them apart") {
  const scratch_dir scratch;
  words command{"report"};
  for (int i = 1; i <= 5; ++i) {
    const fs::path run = scratch.path() / std::to_string(i);
    write_run(run, 1, 97, 90 + i, "0.00" + std::to_string(i));
    command.push_back(run.string());
  }
  const fs::path pictures = scratch.path() / "p";
  REQUIRE(run_bitdistill(command + words{"--out", (scratch.path() / "r.html").string(),
                                         "--pictures", pictures.string()})
              .code == 0);
  for (const char* name : {"accuracy", "size"}) {
    CAPTURE(name);
    const std::string picture = bytes_of(pictures / (std::string(name) + ".svg"));
    CHECK(has(picture, ">BitNet-SFT (E)<"));
    CHECK(count(picture, "class=\"s0 open\"") == 2);  // the seventh mark, and its name
    CHECK_FALSE(has(picture, "viewBox=\"0 0 440 292\""));
  }
  CHECK(has(bytes_of(pictures / "base-loss.svg"), "viewBox=\"0 0 440 292\""));
}

TEST_CASE("a report can be made of a run that is under way, and anew") {
  const scratch_dir scratch;
  write_run(scratch.path() / "run", 1, 97, 90);
  fs::remove(scratch.path() / "run" / "table.json");
  const words command{"report", (scratch.path() / "run").string(), "--out",
                      (scratch.path() / "r.html").string()};
  REQUIRE(run_bitdistill(command).code == 0);
  REQUIRE(run_bitdistill(command).code == 0);
  CHECK(has(bytes_of(scratch.path() / "r.html"), "under way"));
}

TEST_CASE("what is no run is refused, and nothing is written") {
  const scratch_dir scratch;
  write_text(scratch.path() / "model" / "config.json", R"({"model_type": "llama"})");
  const auto refused = run_bitdistill({"report", (scratch.path() / "model").string(), "--out",
                                       (scratch.path() / "r.html").string()});
  CHECK(refused.code == 2);
  CHECK(has(refused.err, "is not a run: its config.json has no stages"));
  CHECK_FALSE(fs::exists(scratch.path() / "r.html"));
  const auto name = run_bitdistill({"report", (scratch.path() / "model").string(), "--out",
                                    (scratch.path() / "r.svg").string()});
  CHECK(has(name.err, "--out"));
}

TEST_CASE("inspect prints means with their errors and paired differences") {
  const scratch_dir scratch;
  write_run(scratch.path() / "1", 1, 97, 90);
  write_run(scratch.path() / "2", 2, 95, 88.5);
  write_run(scratch.path() / "3", 3, 96, 89.5);
  const auto shown =
      run_bitdistill({"inspect", (scratch.path() / "1").string(), (scratch.path() / "2").string(),
                      (scratch.path() / "3").string()});
  REQUIRE(shown.code == 0);
  CHECK(has(shown.out, "to FP-SFT  Seeds"));
  CHECK(has(shown.out, "96.00 +- 0.58"));
  CHECK(has(shown.out, "89.33 +- 0.44  -6.67 +- 0.17"));
}

TEST_CASE("watch shows how far each stage is") {
  const scratch_dir scratch;
  const fs::path run = scratch.path() / "run";
  write_run(run, 1, 97, 90);
  fs::remove(run / "table.json");
  auto shown = run_bitdistill({"watch", run.string()});
  REQUIRE(shown.code == 0);
  CHECK(has(shown.out, "base  step 100/200 | loss 1.500 █▁ | lr 1.0e-3 | 2000 ms | "));
  CHECK(has(shown.out, "tok/s | flips 0.100% | eta 3m"));
  write_text(run / "stages" / "base" / "config.json", "{}");
  shown = run_bitdistill({"watch", run.string()});
  CHECK(has(shown.out, "base  done in 200 steps | loss 1.500 █▁\n"));
  CHECK(run_bitdistill({"watch", scratch.path().string()}).code == 2);
}
