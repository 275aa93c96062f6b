# What every compiled target of this project has in common. Private: nothing here reaches a consumer.
function(mcomp_compile_options target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # No contraction: whether a*b+c is fused would depend on the instruction set, and results must not.
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow -ffp-contract=off
      $<$<BOOL:${MCOMP_WARNINGS_AS_ERRORS}>:-Werror>)
    if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
      # GCC 12 sees overlapping copies in `"text" + std::string` where there are none (GCC bug 105651).
      target_compile_options(${target} PRIVATE -Wno-restrict)
    endif()
    # The same bytes wherever the folders lie (debuggers of a Debug build keep the true ones). The last map that fits
    # counts, and the build folder may lie within the source folder or the other way round.
    cmake_path(IS_PREFIX PROJECT_SOURCE_DIR "${PROJECT_BINARY_DIR}" NORMALIZE inside)
    set(maps "-ffile-prefix-map=${PROJECT_SOURCE_DIR}=." "-ffile-prefix-map=${PROJECT_BINARY_DIR}=./build")
    if(NOT inside)
      list(REVERSE maps)
    endif()
    target_compile_options(${target} PRIVATE "$<$<NOT:$<CONFIG:Debug>>:${maps}>")
    # Relative too, since a run path is part of the library even after it was replaced by the installed one.
    set_target_properties(${target} PROPERTIES BUILD_RPATH_USE_ORIGIN ON)
  endif()
endfunction()

# A shared library exports its namespace alone and leaves no symbol to be found by luck when it is loaded.
function(mcomp_shared_library_options target)
  get_target_property(type ${target} TYPE)
  if(NOT type STREQUAL "SHARED_LIBRARY" OR NOT UNIX OR APPLE)
    return()
  endif()
  target_link_options(${target} PRIVATE LINKER:--version-script=${PROJECT_SOURCE_DIR}/cmake/mcomp.map)
  set_property(TARGET ${target} APPEND PROPERTY LINK_DEPENDS ${PROJECT_SOURCE_DIR}/cmake/mcomp.map)
  if(NOT DEFINED CMAKE_INSTALL_RPATH)
    # Installed side by side, and found so wherever the prefix lies.
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
  # Clang links the run-time of a sanitizer into the program only.
  if(NOT "${CMAKE_CXX_FLAGS} ${CMAKE_SHARED_LINKER_FLAGS}" MATCHES "-fsanitize")
    target_link_options(${target} PRIVATE LINKER:--no-undefined)
  endif()
endfunction()
