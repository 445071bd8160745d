# What a field that is added to model_config meets: copies of the two headers that know its fields have
# one field more than the library's.
#
# Uses tern_test_main of programs.cmake and `flags` of compile_cases.cmake.

# new_field_copy(FOLDER HEADER TEXT ADDITION): a copy of a header of model/ in FOLDER, with ADDITION
# behind TEXT.
function(new_field_copy folder header text addition)
  set(original "${PROJECT_SOURCE_DIR}/include/tern/model/${header}")
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${original}")
  file(READ "${original}" content)
  string(FIND "${content}" "${text}" found)
  if(found EQUAL -1)
    message(FATAL_ERROR "${original} has no line '${text}' to put a new field behind")
  endif()
  string(REPLACE "${text}" "${text}\n  ${addition}" content "${content}")
  file(CONFIGURE OUTPUT "${folder}/tern/model/${header}" CONTENT "${content}" @ONLY)
endfunction()
set(new_field "bool field_of_tomorrow = false;")

# Without a line in describe() it does not compile.
set(undescribed "${CMAKE_CURRENT_BINARY_DIR}/new_field/undescribed")
new_field_copy("${undescribed}" config.hpp "double quantizer_eps = 0;" "${new_field}")
file(CONFIGURE OUTPUT "${undescribed}/undescribed.cpp" @ONLY CONTENT
     "// refused: describe\\(\\) leaves out a member\n#include \"tern/model/config_fields.hpp\"\n")
add_test(NAME new_field/undescribed
         COMMAND "${CMAKE_COMMAND}" -D "COMPILER=${CMAKE_CXX_COMPILER}"
                 -D "SOURCE=${undescribed}/undescribed.cpp" -D "FLAGS=-I${undescribed};${flags}"
                 -P "${CMAKE_CURRENT_SOURCE_DIR}/compile/check.cmake")

# With a line there, nothing loses it.
set(described "${CMAKE_CURRENT_BINARY_DIR}/new_field/described")
new_field_copy("${described}" config.hpp "double quantizer_eps = 0;" "${new_field}")
new_field_copy("${described}" config_fields.hpp "v.value(\"quantizer_eps\", c.quantizer_eps);"
               "v.value(\"field_of_tomorrow\", c.field_of_tomorrow);")
add_executable(test_new_field checkpoint/new_field.cxx)
target_link_libraries(test_new_field PRIVATE tern_test_main tern_own_build tern::train)
target_include_directories(test_new_field BEFORE PRIVATE "${described}" "${PROJECT_SOURCE_DIR}")
target_compile_options(test_new_field PRIVATE -O0)
add_test(NAME new_field/described COMMAND test_new_field)
