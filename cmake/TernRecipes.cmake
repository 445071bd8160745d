# tern_embed_recipes(OUT files...): writes a C++ source that has the text of each recipe by its name.
function(tern_embed_recipes out)
  set(entries "")
  foreach(file IN LISTS ARGN)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${file}")
    cmake_path(GET file STEM name)
    file(READ "${file}" text)
    string(APPEND entries "      {\"${name}\", R\"recipe(${text})recipe\"},\n")
  endforeach()
  file(CONFIGURE OUTPUT "${out}" @ONLY CONTENT "// Made of recipes/*.json by cmake/TernRecipes.cmake.
#include \"recipes.hpp\"

namespace bitdistill {

const std::vector<shipped_recipe>& shipped_recipes() {
  static const std::vector<shipped_recipe> all{
@entries@  };
  return all;
}

}  // namespace bitdistill
")
endfunction()
