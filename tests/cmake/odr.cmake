# Translation units for different instruction sets can be linked into one program.
if(NOT TERN_RUNS_X86_64_V3)
  return()
endif()
add_executable(test_odr odr/main.cpp odr/narrow.cpp odr/wide.cpp)
target_link_libraries(test_odr PRIVATE tern::tern)
set_source_files_properties(odr/narrow.cpp PROPERTIES COMPILE_OPTIONS -march=x86-64)
set_source_files_properties(odr/wide.cpp PROPERTIES COMPILE_OPTIONS -march=x86-64-v3)
# Without optimisation inline functions are emitted, so that the linker could merge them.
target_compile_options(test_odr PRIVATE -O0)
add_test(NAME odr COMMAND test_odr)
