// bitdistill: BitNet Distillation from the command line. The exit code is 0 where all was done, 2
// after an error, which is one line on stderr, and 130 where a signal stopped a run after its state
// was saved.
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>

#include "commands.hpp"
#include "options.hpp"
#include "ranks.hpp"
#include "standard_output.hpp"
#include "stopped.hpp"
#include "system.hpp"
#include "tern/core/error.hpp"

namespace {

void dispatch(const bitdistill::options& o) {
  if (bitdistill::trains(o)) return bitdistill::train(o);
  if (o.command == "quantize") return bitdistill::quantize(o);
  if (const std::size_t ranks = bitdistill::launched_ranks(); ranks > 1)
    throw tern::config_error(o.command + " runs in one process, but it was started as one of " +
                             std::to_string(ranks) + " ranks: leave out mpirun");
  if (o.command == "plan") return bitdistill::plan(o);
  if (o.command == "tokenizer") return bitdistill::tokenizer(o);
  if (o.command == "eval") return bitdistill::evaluate(o);
  if (o.command == "inspect") return bitdistill::inspect(o);
  if (o.command == "generate") return bitdistill::generate(o);
  if (o.command == "embed") return bitdistill::embed(o);
  if (o.command == "bench") return bitdistill::bench(o);
  if (o.command == "export") return bitdistill::export_model(o);
  if (o.command == "report") return bitdistill::report(o);
  if (o.command == "watch") return bitdistill::watch(o);
  bitdistill::serve(o);
}

int fail(const char* what) {
  std::fflush(stdout);
  bitdistill::say(std::string("bitdistill: error: ") + what);
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    bitdistill::prepare_process();
    const bitdistill::parsed line =
        bitdistill::parse_command_line(bitdistill::command_line_arguments(argc, argv));
    if (!line.exit_code) dispatch(line.values);
    bitdistill::require_output();
    return line.exit_code.value_or(0);
  } catch (const bitdistill::said_by_rank_0& e) {
    return e.exit_code;
  } catch (const bitdistill::stopped& e) {
    bitdistill::say(std::string("bitdistill: ") + e.what());
    return 130;
  } catch (const std::system_error& e) {  // of fmt, which writes to the standard output
    return fail(("cannot write standard output: " + e.code().message()).c_str());
  } catch (const std::bad_alloc&) {
    return fail("there is not enough memory: use fewer or shorter sequences or a smaller model");
  } catch (const std::exception& e) {
    return fail(e.what());
  }
}
