# What every compiled target of this project has in common. Private: nothing here reaches a consumer.
function(mcomp_compile_options target)
  target_compile_features(${target} PRIVATE cxx_std_20)
  set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  if(CMAKE_CXX_COMPILER_ID MATCHES "GNU|Clang")
    # No contraction: whether a*b+c is fused would depend on the instruction set, and results must not.
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow -ffp-contract=off
      $<$<BOOL:${MCOMP_WARNINGS_AS_ERRORS}>:-Werror>)
  endif()
endfunction()
